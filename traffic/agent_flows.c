/* SPDX-License-Identifier: Apache-2.0 */
/* traffic_start: the flows of a request, read, checked and added to the engine. */
#include "traffic/agent_call.h"

#define DURATION_MS_MAX 86400000ull /* a day; keeps all products within 64 bits */

/* Numbers of a flow: key, whether it must be there (when sending), default, maximum. */
enum {
	FLOW_ID,
	FLOW_NIC,
	FLOW_SIZE,
	FLOW_RATE,
	FLOW_FRAMES,
	FLOW_DURATION,
	FLOW_DELAY,
	FLOW_L4,
	FLOW_NUMBERS
};
static const struct {
	const char *key;
	bool required, required_send;
	uint64_t def, max;
} flow_numbers[FLOW_NUMBERS] = {
	[FLOW_ID] = { "id", true, true, 0, 65535 },
	[FLOW_NIC] = { "nic", true, true, 0, TRAFFIC_PORTS_MAX - 1 },
	[FLOW_SIZE] = { "size", false, true, 0, TRAFFIC_SIZE_MAX },
	[FLOW_RATE] = { "rate_mfps", false, true, 0, TRAFFIC_RATE_MAX },
	[FLOW_FRAMES] = { "frames", false, false, 0, TRAFFIC_SEQ_MAX },
	[FLOW_DURATION] = { "duration_ms", false, false, 0, DURATION_MS_MAX },
	[FLOW_DELAY] = { "delay_ms", false, false, 0, DURATION_MS_MAX },
	[FLOW_L4] = { "l4_flows", false, false, 1, TRAFFIC_L4_MAX },
};

static const char *read_flow_numbers(
	struct call *c, int obj, bool send, uint64_t v[FLOW_NUMBERS], const char **why)
{
	for (int k = 0; k < FLOW_NUMBERS; k++) {
		int i = json_find(&c->doc, obj, flow_numbers[k].key);

		v[k] = flow_numbers[k].def;
		if (i < 0) {
			if (flow_numbers[k].required || (send && flow_numbers[k].required_send)) {
				*why = "the flow lacks this key";
				return flow_numbers[k].key;
			}
		} else if (!json_u64(&c->doc, i, flow_numbers[k].max, &v[k])) {
			*why = "expected a whole number within this key's limits";
			return flow_numbers[k].key;
		}
	}
	return NULL;
}

static uint64_t ms_to_tsc(const struct call *c, uint64_t ms)
{
	uint64_t hz = c->a->engine->tsc_hz;

	return hz / 1000 * ms + hz % 1000 * ms / 1000;
}

/* One element of "flows". Returns the wrong key, or NULL. */
static const char *read_flow(struct call *c, int obj, struct traffic_flow_spec *s, const char **why)
{
	const struct json_doc *d = &c->doc;
	uint64_t v[FLOW_NUMBERS];
	const char *bad;
	char mac[ETHER_MAC_STR];
	bool imix = false;
	int i;

	i = json_find(d, obj, "role");
	*why = "expected \"send\" or \"receive\"";
	if (i < 0 || (!json_is(d, i, "send") && !json_is(d, i, "receive")))
		return "role";
	s->role = json_is(d, i, "send") ? TRAFFIC_SEND : TRAFFIC_RECEIVE;
	bad = read_flow_numbers(c, obj, s->role == TRAFFIC_SEND, v, why);
	if (bad)
		return bad;
	i = json_find(d, obj, "peer_mac");
	*why = "expected an address like \"02:00:00:00:00:01\"";
	if (i < 0 || !json_str(d, i, mac, sizeof(mac)) || ether_mac_parse(mac, &s->peer))
		return "peer_mac";
	s->id = (uint16_t)v[FLOW_ID];
	s->port = (uint32_t)v[FLOW_NIC];
	s->size = (uint32_t)v[FLOW_SIZE];
	s->rate_mfps = v[FLOW_RATE];
	s->frames = v[FLOW_FRAMES];
	s->l4_flows = (uint32_t)v[FLOW_L4];
	s->duration_tsc = ms_to_tsc(c, v[FLOW_DURATION]);
	s->delay_tsc = ms_to_tsc(c, v[FLOW_DELAY]);
	i = json_find(d, obj, "imix");
	*why = "expected true or false";
	if (i >= 0 && !json_bool(d, i, &imix))
		return "imix";
	s->n_mix = imix ? TRAFFIC_MIX_MAX : 0;
	for (i = 0; imix && i < TRAFFIC_MIX_MAX; i++)
		s->mix[i] = traffic_imix[i];
	return NULL;
}

/* "flows[3].size" */
static void set_flow_field(struct agent *a, unsigned index, const char *key)
{
	struct json_out o = { .buf = a->field, .cap = sizeof(a->field) - 1 };
	char at = (char)('0' + index % 10), tens = (char)('0' + index / 10 % 10);

	__builtin_memset(a->field, 0, sizeof(a->field));
	__builtin_memcpy(o.buf, "flows[", 6);
	o.len = 6;
	if (index >= 10)
		o.buf[o.len++] = tens;
	o.buf[o.len++] = at;
	o.buf[o.len++] = ']';
	if (!key)
		return;
	o.buf[o.len++] = '.';
	agent_copy_text(o.buf + o.len, sizeof(a->field) - o.len, key);
}

/* Reads all flows and adds those that are right; the caller takes them back if one is wrong. */
static const struct failure *add_flows(struct call *c, int list)
{
	static const char *const known[] = { "id", "role", "nic", "peer_mac", "size", "rate_mfps",
		"frames", "duration_ms", "delay_ms", "l4_flows", "imix", NULL };
	static struct failure f;
	struct agent *a = c->a;
	int i = list + 1;

	for (unsigned k = 0; k < c->doc.tok[list].n; k++, i = c->doc.tok[i].next) {
		struct traffic_flow_spec s = { 0 };
		const char *why, *bad;

		if (c->doc.tok[i].kind != JTOK_OBJECT) {
			set_flow_field(a, k, NULL);
			return agent_invalid(&f, "expected an object");
		}
		if (!agent_keys_known(c, i, known)) {
			char key[sizeof(a->field)];

			agent_copy_text(key, sizeof(key), a->field);
			set_flow_field(a, k, key);
			return &agent_unknown_key;
		}
		bad = read_flow(c, i, &s, &why);
		if (!bad)
			bad = traffic_engine_check(a->engine, &s, &why);
		if (bad) {
			set_flow_field(a, k, bad);
			return agent_invalid(&f, why);
		}
		traffic_engine_add(a->engine, &s);
	}
	return NULL;
}

const struct failure *agent_traffic_start(struct call *c)
{
	static const char *const known[] = { "flows", "reset", NULL };
	static struct failure f;
	struct agent *a = c->a;
	const struct failure *bad;
	bool reset = false;
	uint64_t now;
	uint32_t had;
	int i, list;

	if (c->params < 0 || (list = json_find(&c->doc, c->params, "flows")) < 0 ||
		c->doc.tok[list].kind != JTOK_ARRAY) {
		agent_set_field(a, "flows");
		return agent_invalid(&f, "expected an array of flows");
	}
	if (!agent_keys_known(c, c->params, known))
		return &agent_unknown_key;
	i = json_find(&c->doc, c->params, "reset");
	if (i >= 0 && !json_bool(&c->doc, i, &reset)) {
		agent_set_field(a, "reset");
		return agent_invalid(&f, "expected true or false");
	}
	if (reset)
		traffic_engine_reset(a->engine);
	had = a->engine->n_flows;
	bad = add_flows(c, list);
	if (bad) {
		a->engine->n_flows = had;
		return bad;
	}
	now = traffic_tsc();
	traffic_engine_start(a->engine, now);
	json_open(&c->out, '{');
	json_member_u64(&c->out, "tsc", now);
	json_close(&c->out, '}');
	return NULL;
}
