/* SPDX-License-Identifier: Apache-2.0 */
/* See options.h. */
#include "traffic/dpdk/options.h"

#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

const char tg_usage[] =
	"usage: lanyard-traffic --port SOCKET[,mac=MAC] --port SOCKET[,mac=MAC] [options]\n"
	"Sends test frames between two vhost-user ports of a switch, accounts for every one of them,\n"
	"and prints the result as JSON.\n"
	"  or, instead of two sockets, two interfaces of Linux's: --interface NAME --interface NAME\n"
	"  the ports:    --server (listen: the switch connects)  --packed  --no-mergeable\n"
	"                --in-order  --vectorized  --queue-size N (256)\n"
	"                --tx-descriptors N (all; how many of a queue may wait to be sent)\n"
	"  the traffic:  --size BYTES|imix (64; with FCS; imix: 64, 594 and 1518 as 7:4:1)\n"
	"                --flows N (1: UDP flows each way, which differ in their source port)\n"
	"                --macs N (1: addresses of each port, taken in turn)\n"
	"                --rate max|100kpps|1Gbps (max; each way)  --one-way\n"
	"                --seconds S (5)  --warm-up S (0.5)  --frames N (each way; then it ends)\n"
	"                --verify-bodies-every N (1; a power of 2; heads are verified always)\n"
	"  itself:       --cpu N  --memory MB  --no-huge\n"
	"As a node of a lab:\n"
	"       lanyard-traffic --agent PATH --control PATH --name NODE --port SOCKET[,...] [options]\n"
	"serves up to 16 ports, and is driven as a guest's agent is (docs/control.md).\n"
	"  each port:    ,mac=MAC  ,mtu=N  ,ring=split|packed  ,mergeable=on|off\n"
	"  itself:       as above, and --tsc-hz N\n"
	"A switch offers what it can: a ring feature asked for here that it lacks is left out.\n";

static int number(
	const char *name, const char *text, uint64_t min, uint64_t max, uint64_t *v, struct err *e)
{
	char *end;

	errno = 0;
	*v = strtoull(text, &end, 10);
	if (end == text || *end || *text == '-' || errno || *v < min || *v > max)
		return err_request(e, -EINVAL, "--%s %s: expected %llu to %llu", name, text,
			(unsigned long long)min, (unsigned long long)max);
	return 0;
}

static int port_option(struct tg_options *o, uint32_t i, char *text, struct err *e)
{
	char *value = strchr(text, '=');
	uint64_t v = 0;

	if (value)
		*value++ = '\0';
	if (value && strcmp(text, "mac") == 0) {
		if (ether_mac_parse(value, &o->mac[i]) || ether_mac_is_multicast(o->mac[i]))
			return err_request(e, -EINVAL,
				"--port %s,mac=%s: expected a unicast address, such as "
				"02:00:00:00:00:01",
				o->socket[i], value);
		return 0;
	}
	if (value && strcmp(text, "mtu") == 0) {
		if (number("port ...,mtu", value, 68, 9216, &v, e))
			return -EINVAL;
		o->mtu[i] = (uint32_t)v;
		return 0;
	}
	if (value && strcmp(text, "ring") == 0 &&
		(strcmp(value, "split") == 0 || strcmp(value, "packed") == 0)) {
		o->port_packed[i] = *value == 'p';
		return 0;
	}
	if (value && strcmp(text, "mergeable") == 0 &&
		(strcmp(value, "on") == 0 || strcmp(value, "off") == 0)) {
		o->port_unmergeable[i] = strcmp(value, "off") == 0;
		return 0;
	}
	return err_request(e, -EINVAL,
		"--port %s: expected mac=MAC, mtu=N, ring=split|packed or mergeable=on|off after a "
		"comma, found %s%s%s",
		o->socket[i], text, value ? "=" : "", value ? value : "");
}

/* SOCKET[,KEY=VALUE]...; virtio-user's arguments are cut at commas, so a socket has none. */
static int port_add(struct tg_options *o, char *text, struct err *e)
{
	uint32_t i = o->n_ports;
	char *rest = NULL;

	if (i == TRAFFIC_PORTS_MAX)
		return err_request(
			e, -EINVAL, "--port %s: at most %d are possible", text, TRAFFIC_PORTS_MAX);
	o->n_ports++;
	o->n_port_options++;
	o->mac[i] = (struct ether_mac){ { 2, 0, 0, 0, 0x7a, (uint8_t)(i + 1) } };
	o->socket[i] = strtok_r(text, ",", &rest);
	if (!o->socket[i])
		return err_request(e, -EINVAL, "--port: expected the path of a socket");
	for (char *k = strtok_r(NULL, ",", &rest); k; k = strtok_r(NULL, ",", &rest))
		if (port_option(o, i, k, e))
			return -EINVAL;
	return 0;
}

static int interface_add(struct tg_options *o, const char *name, struct err *e)
{
	if (o->n_ports == TG_PORTS)
		return err_request(
			e, -EINVAL, "--interface %s: expected two of them, or of --port", name);
	o->interfaces = true;
	/* Addresses are the interfaces' own; these only have to differ. */
	o->mac[o->n_ports] = (struct ether_mac){ { 2, 0, 0, 0, 0x7a, (uint8_t)(o->n_ports + 1) } };
	o->socket[o->n_ports++] = name;
	return 0;
}

static int seconds(const char *name, const char *text, double max, double *v, struct err *e)
{
	char *end;

	*v = strtod(text, &end);
	if (end == text || *end || !(*v >= 0 && *v <= max))
		return err_request(
			e, -EINVAL, "--%s %s: expected seconds, 0 to %.0f", name, text, max);
	return 0;
}

static int size(struct tg_options *o, const char *text, struct err *e)
{
	uint64_t v;
	int ret;

	o->size_name = text;
	if (strcmp(text, "imix") == 0) {
		o->size = 0;
		o->n_mix = TRAFFIC_MIX_MAX;
		memcpy(o->mix, traffic_imix, sizeof(traffic_imix));
		return 0;
	}
	ret = number("size", text, TRAFFIC_SIZE_MIN, TRAFFIC_SIZE_MAX, &v, e);
	if (ret)
		return err_request(e, ret, "--size %s: expected imix, or %d to %d bytes", text,
			TRAFFIC_SIZE_MIN, TRAFFIC_SIZE_MAX);
	o->size = (uint32_t)v;
	o->n_mix = 0;
	return 0;
}

static int power_of_2(const char *name, const char *text, uint64_t min, uint64_t max, uint32_t *out,
	struct err *e)
{
	uint64_t v;
	int ret = number(name, text, min, max, &v, e);

	if (ret == 0 && (v & (v - 1)))
		ret = err_request(e, -EINVAL, "--%s %s: expected a power of 2", name, text);
	*out = (uint32_t)v;
	return ret;
}

enum {
	PORT = 'p',
	INTERFACE = 'i',
	SERVER = 1000,
	PACKED,
	NO_MERGEABLE,
	IN_ORDER,
	VECTORIZED,
	QUEUE_SIZE,
	TX_DESCRIPTORS,
	SIZE,
	FLOWS,
	MACS,
	RATE,
	ONE_WAY,
	SECONDS,
	WARM_UP,
	FRAMES,
	BODIES,
	CPU,
	MEMORY,
	NO_HUGE,
	AGENT,
	CONTROL,
	NAME,
	TSC_HZ,
	HELP = 'h'
};

static const struct option longs[] = {
	{ "port", required_argument, NULL, PORT },
	{ "interface", required_argument, NULL, INTERFACE },
	{ "server", no_argument, NULL, SERVER },
	{ "packed", no_argument, NULL, PACKED },
	{ "no-mergeable", no_argument, NULL, NO_MERGEABLE },
	{ "in-order", no_argument, NULL, IN_ORDER },
	{ "vectorized", no_argument, NULL, VECTORIZED },
	{ "queue-size", required_argument, NULL, QUEUE_SIZE },
	{ "tx-descriptors", required_argument, NULL, TX_DESCRIPTORS },
	{ "size", required_argument, NULL, SIZE },
	{ "flows", required_argument, NULL, FLOWS },
	{ "macs", required_argument, NULL, MACS },
	{ "rate", required_argument, NULL, RATE },
	{ "one-way", no_argument, NULL, ONE_WAY },
	{ "seconds", required_argument, NULL, SECONDS },
	{ "warm-up", required_argument, NULL, WARM_UP },
	{ "frames", required_argument, NULL, FRAMES },
	{ "verify-bodies-every", required_argument, NULL, BODIES },
	{ "cpu", required_argument, NULL, CPU },
	{ "memory", required_argument, NULL, MEMORY },
	{ "no-huge", no_argument, NULL, NO_HUGE },
	{ "agent", required_argument, NULL, AGENT },
	{ "control", required_argument, NULL, CONTROL },
	{ "name", required_argument, NULL, NAME },
	{ "tsc-hz", required_argument, NULL, TSC_HZ },
	{ "help", no_argument, NULL, HELP },
	{ NULL, 0, NULL, 0 },
};

/* Options without a value. */
static void flag(struct tg_options *o, int opt)
{
	o->server |= opt == SERVER;
	o->packed |= opt == PACKED;
	o->mergeable &= opt != NO_MERGEABLE;
	o->in_order |= opt == IN_ORDER;
	o->vectorized |= opt == VECTORIZED;
	o->one_way |= opt == ONE_WAY;
	o->no_huge |= opt == NO_HUGE;
}

static int value(struct tg_options *o, int opt, char *text, struct err *e)
{
	uint64_t v;
	int ret;

	switch (opt) {
	case PORT:
		return port_add(o, text, e);
	case INTERFACE:
		return interface_add(o, text, e);
	case SIZE:
		return size(o, text, e);
	case RATE:
		ret = units_parse_rate(text, &o->rate, e);
		return ret ? err_prefix(e, "--rate") : 0;
	case SECONDS:
		return seconds("seconds", text, 1e6, &o->seconds, e);
	case WARM_UP:
		return seconds("warm-up", text, 60, &o->warmup_s, e);
	case QUEUE_SIZE:
		return power_of_2("queue-size", text, 64, 4096, &o->queue_size, e);
	case TX_DESCRIPTORS:
		return power_of_2("tx-descriptors", text, 64, 4096, &o->tx_descriptors, e);
	case BODIES:
		return power_of_2("verify-bodies-every", text, 1, 1 << 20, &o->body_every, e);
	case FLOWS:
		ret = number("flows", text, 1, TRAFFIC_L4_MAX, &v, e);
		o->flows = (uint32_t)v;
		return ret;
	case MACS:
		ret = number("macs", text, 1, TRAFFIC_MACS_MAX, &v, e);
		o->macs = (uint32_t)v;
		return ret;
	case FRAMES:
		return number("frames", text, 1, TRAFFIC_SEQ_MAX, &o->frames, e);
	case AGENT:
		o->agent = text;
		return 0;
	case CONTROL:
		o->control = text;
		return 0;
	case NAME:
		o->name = text;
		return 0;
	case TSC_HZ:
		return number("tsc-hz", text, 1000000, 100000000000ull, &o->tsc_hz, e);
	case CPU:
		ret = number("cpu", text, 0, CPU_SETSIZE - 1, &v, e);
		o->cpu = (int)v;
		return ret;
	case MEMORY:
		ret = number("memory", text, 16, 1 << 20, &v, e);
		o->memory_mb = (uint32_t)v;
		return ret;
	default:
		flag(o, opt);
		return 0;
	}
}

/* All ports are apart from each other. */
static int ports_check(const struct tg_options *o, struct err *e)
{
	for (uint32_t i = 0; i < o->n_ports; i++)
		for (uint32_t k = 0; k < i; k++) {
			if (memcmp(&o->mac[i], &o->mac[k], sizeof(o->mac[i])) == 0)
				return err_request(e, -EINVAL, "two ports have one MAC");
			if (strcmp(o->socket[i], o->socket[k]) == 0)
				return err_request(e, -EINVAL, "--%s %s: two ports have one %s",
					o->interfaces ? "interface" : "port", o->socket[i],
					o->interfaces ? "interface" : "socket");
		}
	return 0;
}

static int whole_check(const struct tg_options *o, struct err *e)
{
	bool node = o->agent || o->control || o->name;

	if (node && !(o->agent && o->control && o->name))
		return err_request(e, -EINVAL,
			"a node needs --agent, --control and --name: one of them is missing");
	if (node && !o->n_ports)
		return err_request(e, -EINVAL, "a node needs one --port SOCKET at least");
	if (o->interfaces && (node || o->server || o->packed || o->n_port_options))
		return err_request(e, -EINVAL,
			"--interface goes with the options of the traffic, and --cpu: not with --port, nor "
			"with what is a node's or a virtqueue's");
	if (node && o->server)
		return err_request(e, -EINVAL, "a node connects to the switch: no --server");
	if (!node && o->n_ports != TG_PORTS)
		return err_request(e, -EINVAL,
			"expected two times --port SOCKET, or two times --interface NAME");
	if (o->seconds == 0 && !o->frames)
		return err_request(e, -EINVAL, "--seconds 0 needs --frames");
	return ports_check(o, e);
}

int tg_options_parse(int argc, char **argv, struct tg_options *o, bool *help, struct err *e)
{
	int opt, ret = 0;

	*o = (struct tg_options){
		.mergeable = true,
		.queue_size = 256,
		.cpu = -1,
		.size_name = "64",
		.size = 64,
		.flows = 1,
		.macs = 1,
		.rate = { .kind = RATE_MAX },
		.seconds = 5,
		.warmup_s = 0.5,
		.body_every = 1,
	};
	*help = false;
	optind = 1;
	opterr = 0;
	while (ret == 0 && (opt = getopt_long(argc, argv, ":h", longs, NULL)) != -1) {
		if (opt == HELP)
			*help = true;
		else if (opt == ':' || opt == '?')
			ret = err_request(e, -EINVAL, "%s: %s", argv[optind - 1],
				opt == ':' ? "a value is missing" : "unknown option");
		else
			ret = value(o, opt, optarg, e);
	}
	if (ret || *help)
		return ret;
	if (optind < argc)
		return err_request(e, -EINVAL, "%s: unexpected argument", argv[optind]);
	return whole_check(o, e);
}

double tg_mean_size(const struct tg_options *o)
{
	double sum = 0;

	if (!o->n_mix)
		return o->size;
	for (uint32_t i = 0; i < o->n_mix; i++)
		sum += o->mix[i];
	return sum / o->n_mix;
}
