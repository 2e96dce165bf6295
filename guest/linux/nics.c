/* SPDX-License-Identifier: Apache-2.0 */
#include "guest/linux/nics.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "guest/linux/netlink.h"
#include "guest/linux/say.h"

#define NICS    "/sys/class/net"
#define WAIT_MS 5000 /* for a NIC to appear: its driver may still be at it */

/* A file of /sys below an interface's folder, without the newline; "" if it can't be read. */
static void read_attribute(const char *nic, const char *name, char *out, size_t size)
{
	char path[512], *text = NULL;

	snprintf(path, sizeof(path), NICS "/%s/%s", nic, name);
	out[0] = '\0';
	if (fd_read_file(path, 4096, &text, NULL, NULL))
		return;
	text[strcspn(text, "\n")] = '\0';
	snprintf(out, size, "%s", text);
	free(text);
}

static int not_dots(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

/* devices: those that are such, and not what the kernel makes by itself. */
static bool find_among(const char *mac, int n, bool devices, char name[IF_NAMESIZE])
{
	struct dirent **names = NULL;
	int count = scandir(NICS, &names, not_dots, versionsort);
	bool found = false;

	for (int i = 0; i < count; i++) {
		char path[512], address[64];

		snprintf(path, sizeof(path), NICS "/%s/device", names[i]->d_name);
		if (!found && (!devices || access(path, F_OK) == 0)) {
			read_attribute(names[i]->d_name, "address", address, sizeof(address));
			found = mac ? !strcasecmp(address, mac) : n-- == 0;
			if (found)
				snprintf(name, IF_NAMESIZE, "%s", names[i]->d_name);
		}
		free(names[i]);
	}
	free(names);
	return found;
}

/* The n-th of the interfaces that are devices (mac NULL), or the one with this address: a device
 * rather than what lies on top of it and has its address too. */
static bool find_nic(const char *mac, int n, char name[IF_NAMESIZE])
{
	return find_among(mac, n, true, name) || (mac && find_among(mac, n, false, name));
}

static bool wait_nic(const char *mac, char name[IF_NAMESIZE])
{
	uint64_t deadline = clock_now_ns() + WAIT_MS * NS_PER_MS;

	while (!find_nic(mac, 0, name)) {
		if (clock_now_ns() > deadline)
			return false;
		clock_sleep_ns(2 * NS_PER_MS);
	}
	return true;
}

static void check(json_t *problems, int rc, const char *what, const char *value)
{
	if (rc)
		say_problem(problems, "%s %s: %s", what, value, err_str(rc));
}

/* "10.0.0.1/24": to *a. False: it is none. */
static bool parse_address(const char *text, struct netlink_address *a)
{
	char host[INET6_ADDRSTRLEN];
	size_t n = strcspn(text, "/");
	char *end;

	if (n >= sizeof(host))
		return false;
	memcpy(host, text, n);
	host[n] = '\0';
	*a = (struct netlink_address){ .family = strchr(host, ':') ? AF_INET6 : AF_INET };
	a->prefix = a->family == AF_INET ? 32 : 128;
	if (inet_pton(a->family, host, a->bytes) != 1)
		return false;
	if (!text[n])
		return true;
	unsigned long prefix = strtoul(text + n + 1, &end, 10);
	bool good = *end == '\0' && end != text + n + 1 && prefix <= a->prefix;
	a->prefix = (unsigned)prefix;
	return good;
}

/* One NIC's own: MTU, up, addresses. */
static void set_up_nic(int nl, const json_t *nic, const char *name, json_t *problems)
{
	json_int_t mtu = json_integer_value(json_object_get(nic, "mtu"));
	unsigned index = if_nametoindex(name);
	struct netlink_address a;
	const json_t *text;
	size_t i;

	if (mtu > 0)
		check(problems, netlink_set_mtu(nl, index, (unsigned)mtu), name, "MTU");
	check(problems, netlink_set_up(nl, index), name, "up");
	json_array_foreach (json_object_get(nic, "addresses"), i, text) {
		const char *s = json_string_value(text);
		int rc = -EINVAL;

		if (s && parse_address(s, &a))
			rc = netlink_add_address(nl, index, &a);
		check(problems, rc, name, s ? s : "an address that is no text");
	}
}

static void add_routes(int nl, const json_t *config, json_t *problems)
{
	const json_t *route;
	size_t i;

	json_array_foreach (json_object_get(config, "routes"), i, route) {
		const char *to = json_string_value(json_object_get(route, "to"));
		const char *via = json_string_value(json_object_get(route, "via"));
		struct netlink_address dst, gateway;
		int rc = -EINVAL;

		if (to && via && parse_address(via, &gateway)) {
			bool all = !strcmp(to, "default");

			if (all)
				dst = (struct netlink_address){ .family = gateway.family };
			if (all || parse_address(to, &dst))
				rc = netlink_add_route(nl, &dst, &gateway);
		}
		check(problems, rc, "route to", to ? to : "nowhere");
	}
}

/* Names in the configuration's order; through names that nobody has, since two may have to swap. */
static void rename_nics(int nl, char (*names)[IF_NAMESIZE], size_t n, json_t *problems)
{
	char wanted[IF_NAMESIZE];
	bool differ = false;

	for (size_t i = 0; i < n; i++) {
		snprintf(wanted, sizeof(wanted), "eth%zu", i);
		differ |= names[i][0] && strcmp(names[i], wanted);
	}
	for (int round = 0; differ && round < 2; round++)
		for (size_t i = 0; i < n; i++) {
			if (!names[i][0])
				continue;
			snprintf(wanted, sizeof(wanted), round ? "eth%zu" : "lanyard%zu", i);
			int rc = netlink_set_name(nl, if_nametoindex(names[i]), wanted);
			check(problems, rc, names[i], wanted);
			if (!rc)
				memcpy(names[i], wanted, sizeof(wanted));
		}
}

void nics_set_up(const json_t *config, json_t *problems)
{
	const json_t *list = json_object_get(config, "nics"), *nic;
	size_t n = json_array_size(list), i;
	char(*names)[IF_NAMESIZE] = calloc(n + 1, sizeof(*names));
	int nl = netlink_open();

	if (nl < 0 || !names) {
		check(problems, nl < 0 ? nl : -ENOMEM, "network", "set-up");
		goto out;
	}
	check(problems, netlink_set_up(nl, if_nametoindex("lo")), "lo", "up");
	json_array_foreach (list, i, nic) {
		const char *mac = json_string_value(json_object_get(nic, "mac"));

		if (!mac || !wait_nic(mac, names[i]))
			say_problem(problems, "NIC %zu (%s) did not appear within %d s", i,
				mac ? mac : "without an address", WAIT_MS / 1000);
	}
	rename_nics(nl, names, n, problems);
	json_array_foreach (list, i, nic)
		if (names[i][0])
			set_up_nic(nl, nic, names[i], problems);
	add_routes(nl, config, problems);
out:
	free(names);
	fd_close(&nl);
}

static json_t *describe(size_t index, const char *name)
{
	char mac[64], mtu[32], carrier[8], bits[128], path[512];
	unsigned long long features = 0;
	json_int_t queues = 0;
	struct dirent **names = NULL;
	int n;

	read_attribute(name, "address", mac, sizeof(mac));
	read_attribute(name, "mtu", mtu, sizeof(mtu));
	read_attribute(name, "carrier", carrier, sizeof(carrier));
	read_attribute(name, "device/features", bits, sizeof(bits));
	for (size_t i = 0; i < 64 && bits[i]; i++) /* bit 0 is written first */
		features |= (unsigned long long)(bits[i] == '1') << i;
	snprintf(path, sizeof(path), NICS "/%s/queues", name);
	n = scandir(path, &names, not_dots, NULL);
	for (int i = 0; i < n; i++) {
		queues += names[i]->d_name[0] == 'r';
		free(names[i]);
	}
	free(names);
	snprintf(bits, sizeof(bits), "0x%llx", features);
	return json_pack("{s:I, s:s, s:s, s:I, s:b, s:I, s:s}", "index", (json_int_t)index, "name",
		name, "mac", mac, "mtu", (json_int_t)atoi(mtu), "link", carrier[0] == '1', "queues",
		queues, "features", bits);
}

void nics_count(const char *name, struct nic_counters *out)
{
	const struct {
		const char *file;
		uint64_t *n;
	} rows[] = {
		{ "statistics/rx_packets", &out->rx_packets },
		{ "statistics/tx_packets", &out->tx_packets },
		{ "statistics/rx_dropped", &out->rx_dropped },
		{ "statistics/rx_errors", &out->rx_errors },
		{ "statistics/rx_missed_errors", &out->rx_missed_errors },
		{ "statistics/tx_dropped", &out->tx_dropped },
		{ "statistics/tx_errors", &out->tx_errors },
	};
	char text[32];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		read_attribute(name, rows[i].file, text, sizeof(text));
		*rows[i].n = strtoull(text, NULL, 10);
	}
}

json_t *nics_describe(const json_t *config)
{
	const json_t *list = json_object_get(config, "nics"), *nic;
	json_t *out = json_array();
	char name[IF_NAMESIZE];
	size_t i;

	json_array_foreach (list, i, nic) {
		const char *mac = json_string_value(json_object_get(nic, "mac"));

		if (mac && find_nic(mac, 0, name))
			json_array_append_new(out, describe(i, name));
	}
	for (i = 0; !list && find_nic(NULL, (int)i, name); i++)
		json_array_append_new(out, describe(i, name));
	return out;
}
