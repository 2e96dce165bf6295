/* SPDX-License-Identifier: Apache-2.0 */
#include "lab/status_vf.h"

#include <string.h>

#include "config/pfs.h"
#include "lab/steps_vf.h"
#include "lab/sysroot.h"
#include "lab/table.h"

static json_t *text_or_null(const char *s)
{
	return s && *s ? json_string(s) : json_null();
}

static json_t *vf_status(const struct topology *t, size_t pf, uint32_t index, const char *address,
	const json_t *wanted)
{
	char user[TOPO_NAME_MAX + 12], name[16], at[PFS_ADDR_LEN] = "", driver[64] = "";
	const struct topo_vf *vf = topology_vf_user(t, pf, index, user);

	snprintf(name, sizeof name, "%u", index);
	if (!sysroot_function(address, (int)index, at))
		sysroot_driver(at, driver, sizeof driver);
	return json_pack("{s:i, s:o, s:o, s:o, s:O?}", "index", (int)index, "user",
		text_or_null(vf ? user : NULL), "address", text_or_null(at), "driver",
		text_or_null(driver), "wanted", json_object_get(wanted, name));
}

static json_t *pf_status(const struct plan *p, const struct step *s, const struct topology *t)
{
	json_t *vfs = json_array();
	const char *address = s->path;
	struct err differs = { 0 };
	uint32_t n = 0;
	size_t pf = 0;

	while (pf < t->pfs->n && strcmp(t->pfs->v[pf].name, s->name) != 0)
		pf++;
	n = (uint32_t)json_integer_value(json_object_get(s->policy, "num_vfs"));
	for (uint32_t i = 0; i < n; i++)
		json_array_append_new(
			vfs, vf_status(t, pf, i, address, json_object_get(s->policy, "vfs")));
	if (s->state == STEP_DONE)
		steps_pf_differs(p, s, &differs);
	return json_pack("{s:s, s:s, s:o, s:i, s:o, s:o}", "name", s->name, "device", s->device,
		"address", text_or_null(address), "num_vfs", (int)n, "vfs", vfs, "differs",
		text_or_null(differs.text));
}

json_t *status_pfs(const struct plan *p, const struct topology *t)
{
	json_t *a = json_array();

	for (size_t i = 0; i < p->n_steps; i++)
		if (p->steps[i].kind == STEP_PF)
			json_array_append_new(a, pf_status(p, &p->steps[i], t));
	return a;
}

json_t *status_vf_nic(const struct topology *t, size_t node, size_t nic, const json_t *now)
{
	static const char *const keys[] = { "connected", "reason", "interrupts" };
	const struct topo_nic *n = &t->nodes[node].nics[nic];
	char name[TOPO_NAME_MAX + 12], mac[ETHER_MAC_STR];

	json_t *j = json_pack("{s:s, s:n, s:s, s:{s:s, s:i}}", "port",
		topology_port_name(t, node, nic, name), "network", "mac",
		ether_mac_str(n->mac, mac), "vf", "pf", t->pfs->v[n->vf.pf].name, "index",
		(int)n->vf.index);

	for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
		json_t *v = json_object_get(now, keys[i]);

		json_object_set_new(j, keys[i], v ? json_incref(v) : json_null());
	}
	return j;
}

/* ---- for people ---- */

static const char *str(const json_t *j, const char *key)
{
	const char *s = json_string_value(json_object_get(j, key));

	return s ? s : "-";
}

/* What the topology asks for beyond an address and a driver: "vlan 5, trust true". */
static void settings(const json_t *wanted, char *out, size_t size)
{
	const char *key;
	json_t *value;
	size_t at = 0;

	out[0] = '\0';
	json_object_foreach ((json_t *)wanted, key, value) {
		if (strcmp(key, "mac") == 0 || strcmp(key, "driver") == 0 || at >= size)
			continue;
		at += (size_t)snprintf(out + at, size - at, "%s%s ", at ? ", " : "", key);
		if (at >= size)
			break;
		if (json_is_string(value))
			at += (size_t)snprintf(out + at, size - at, "%s", json_string_value(value));
		else if (json_is_integer(value))
			at += (size_t)snprintf(out + at, size - at, "%" JSON_INTEGER_FORMAT,
				json_integer_value(value));
		else
			at += (size_t)snprintf(
				out + at, size - at, "%s", json_is_true(value) ? "on" : "off");
	}
}

static void add_rows(struct table *t, const json_t *pf)
{
	const json_t *vf;
	char text[256];
	size_t i;

	json_array_foreach (json_object_get(pf, "vfs"), i, vf) {
		const json_t *wanted = json_object_get(vf, "wanted");

		settings(wanted, text, sizeof text);
		table_add(t, "%s", str(pf, "name"));
		table_add(t, "%zu", i);
		table_add(t, "%s", str(vf, "user"));
		table_add(t, "%s", str(vf, "address"));
		table_add(t, "%s", str(wanted, "mac"));
		table_add(t, "%s", str(vf, "driver"));
		table_add(t, "%s", text);
	}
	if (json_array_size(json_object_get(pf, "vfs")))
		return;
	table_add(t, "%s", str(pf, "name"));
	table_add(t, "-");
	table_add(t, "-");
	table_add(t, "%s", str(pf, "address"));
	for (int k = 0; k < 3; k++)
		table_add(t, k < 2 ? "-" : "");
}

void status_print_pfs(const json_t *doc, FILE *out, int width)
{
	struct table t = { .head = "PF|>VF|USER|ADDRESS|MAC|DRIVER|" };
	const json_t *pf;
	size_t i;

	json_array_foreach (json_object_get(doc, "pfs"), i, pf)
		add_rows(&t, pf);
	if (!t.cells.n)
		return;
	fputc('\n', out);
	table_print(&t, out, width);
	json_array_foreach (json_object_get(doc, "pfs"), i, pf)
		if (json_is_string(json_object_get(pf, "differs")))
			fprintf(out,
				"PF %s is not as it was left; `lanyard up` would put right: %s\n",
				str(pf, "name"), str(pf, "differs"));
}
