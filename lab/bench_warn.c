/* SPDX-License-Identifier: Apache-2.0 */
/* What is to be said about a round: faults of its flows, frames unaccounted for, leaks. Pure. */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lab/bench_parts.h"

/* Paced senders may be this much slower than asked before a warning says so. */
#define RATE_TOLERANCE 0.01
#define LATE_WARN_US   1000.0
/* A process that had no CPU for this part of the time in which it wanted one is spoken of. */
#define WAITED_WARN 0.05

int bench_round_warn(
	struct bench_round *r, enum bench_fault fault, double badness, const char *fmt, ...)
{
	struct bench_warning *list = realloc(r->warnings, (r->n_warnings + 1) * sizeof(*list));
	va_list ap;

	if (!list)
		return -ENOMEM;
	r->warnings = list;
	list += r->n_warnings;
	va_start(ap, fmt);
	int n = vasprintf(&list->text, fmt, ap);
	va_end(ap);
	if (n < 0)
		return -ENOMEM;
	list->fault = fault;
	list->badness = badness;
	r->n_warnings++;
	return 0;
}

static char *flow_name(const struct topology *t, const struct bench_flow *f, char *out, size_t size)
{
	snprintf(out, size, "%s.%zu > %s.%zu", t->nodes[f->from.node].name, f->from.nic,
		t->nodes[f->to.node].name, f->to.nic);
	return out;
}

/* Flows that show one fault, of which the worst is named: a dozen flows make no dozen warnings. */
struct tally {
	size_t n, worst;
	double badness;
};

static void tally_add(struct tally *y, size_t flow, double badness)
{
	if (!(badness > 0))
		return;
	if (!y->n++ || badness > y->badness) {
		y->worst = flow;
		y->badness = badness;
	}
}

/* "a.0 > b.0" or "3 of 12 flows, a.0 > b.0 most". */
static char *tally_name(const struct topology *t, const struct bench_trial *x,
	const struct tally *y, char *out, size_t size)
{
	char name[2 * TOPO_NAME_MAX + 32];

	flow_name(t, &x->flows[y->worst], name, sizeof(name));
	if (y->n == 1)
		snprintf(out, size, "%s", name);
	else
		snprintf(out, size, "%zu of %zu flows, %s most", y->n, x->n_flows, name);
	return out;
}

/* How bad a flow's fault is; 0 or NaN: not at all. */
static double fault_badness(
	enum bench_fault fault, const struct bench_flow *f, const struct bench_flow_result *r)
{
	double wanted = (double)f->rate_mfps / 1000;

	switch (fault) {
	case BENCH_SENT_NOTHING:
		return r->sent == 0;
	case BENCH_SLOW: /* the part of the rate that was not kept */
		return wanted > 0 && r->sent_fps < wanted * (1 - RATE_TOLERANCE)
			? 1 - r->sent_fps / wanted
			: 0;
	case BENCH_LATE:
		return wanted > 0 && r->late_max_us > LATE_WARN_US ? r->late_max_us / 1000 : 0;
	case BENCH_CORRUPT:
		return (double)r->corrupt;
	case BENCH_TWICE:
		return (double)r->duplicated;
	case BENCH_STALE:
		return (double)r->stale;
	case BENCH_TOO_MANY:
		return -(double)r->lost;
	case BENCH_CLOCK: /* a time stamp from the future shows as a huge difference */
		return r->latency.max_us > 3.6e9;
	default:
		return 0;
	}
}

static void say_fault(
	struct bench_round *r, enum bench_fault fault, const char *who, double badness)
{
	switch (fault) {
	case BENCH_SENT_NOTHING:
		bench_round_warn(r, fault, badness, "%s: the sender sent nothing", who);
		break;
	case BENCH_SLOW:
		bench_round_warn(r, fault, badness,
			"%s: sent %.3g%% less than the rate asked for: too few CPUs, or more than the "
			"path takes",
			who, badness * 100);
		break;
	case BENCH_LATE:
		bench_round_warn(r, fault, badness,
			"%s: sent up to %.3g ms late: something else had the CPU, so the frames came in "
			"bursts",
			who, badness);
		break;
	case BENCH_CORRUPT:
		bench_round_warn(
			r, fault, badness, "%s: %.0f frames arrived corrupt", who, badness);
		break;
	case BENCH_TWICE:
		bench_round_warn(r, fault, badness, "%s: %.0f frames arrived twice", who, badness);
		break;
	case BENCH_STALE:
		bench_round_warn(r, fault, badness,
			"%s: %.0f frames came so late that they may have come twice: they count as "
			"received",
			who, badness);
		break;
	case BENCH_TOO_MANY:
		bench_round_warn(r, fault, badness, "%s: %.0f more frames were received than sent",
			who, badness);
		break;
	case BENCH_CLOCK:
		bench_round_warn(
			r, fault, badness, "%s: latency of hours: the guests' clocks differ", who);
		break;
	default:
		break;
	}
}

static void warn_flows(const struct topology *t, const struct bench_trial *x, struct bench_round *r)
{
	char who[2 * TOPO_NAME_MAX + 96];

	for (enum bench_fault fault = 0; fault < BENCH_FLOW_FAULTS; fault++) {
		struct tally y = { 0 };

		for (size_t i = 0; i < x->n_flows; i++)
			tally_add(&y, i, fault_badness(fault, &x->flows[i], &r->flow[i]));
		if (!y.n)
			continue;
		tally_name(t, x, &y, who, sizeof(who));
		say_fault(r, fault, who, y.badness);
	}
}

static double waited_share(const struct bench_cpu *c)
{
	double wanted = c->run_s + c->waited_s;

	return wanted > 0 ? c->waited_s / wanted : 0; /* 0 for NaN too */
}

/* Noise of others on the machine: without this nobody could tell it from a slow switch. */
void bench_cpus_judge(const struct topology *t, struct bench_round *r)
{
	size_t worst = 0, n = 0;

	if (waited_share(&r->cpu[0]) > WAITED_WARN)
		bench_round_warn(r, BENCH_SWITCH_WAITED, waited_share(&r->cpu[0]),
			"the switch had no CPU for %.0f%% of the time in which it wanted one: others "
			"ran there, and its figures are worse for it",
			waited_share(&r->cpu[0]) * 100);
	for (size_t i = 1; i < r->n_cpus; i++) {
		if (waited_share(&r->cpu[i]) <= WAITED_WARN)
			continue;
		if (!n++ || waited_share(&r->cpu[i]) > waited_share(&r->cpu[worst]))
			worst = i;
	}
	if (n)
		bench_round_warn(r, BENCH_GUEST_WAITED, waited_share(&r->cpu[worst]),
			"guest %s%s had no CPU for %.0f%% of the time in which it wanted one",
			t->nodes[worst - 1].name, n > 1 ? ", and less so others," : "",
			waited_share(&r->cpu[worst]) * 100);
}

static void warn_ports(const json_t *stats, struct bench_round *r)
{
	const json_t *port;
	size_t i;

	json_array_foreach (json_object_get(stats, "ports"), i, port) {
		const char *state = json_string_value(json_object_get(port, "state"));
		const char *reason = json_string_value(json_object_get(port, "reason"));

		if (state && strcmp(state, "disabled") == 0)
			bench_round_warn(r, BENCH_PORT_DISABLED, 1, "port %s is disabled: %s",
				json_string_value(json_object_get(port, "name")),
				reason ? reason : "no reason given");
	}
}

/* Frames that were sent from ports of the switch; SIZE_MAX: no flow is from one. A VF's or a tap's
 * it never sees, or as those of an uplink: then nothing can be said either. */
static uint64_t sent_to_switch(
	const struct topology *t, const struct bench_trial *x, const struct bench_round *r)
{
	uint64_t sum = 0;
	bool any = false;

	for (size_t i = 0; i < x->n_flows; i++) {
		const struct topo_end *end = &x->flows[i].from;
		const struct topo_nic *nic = &t->nodes[end->node].nics[end->nic];

		end = &x->flows[i].to;
		if (nic->network != t->nodes[end->node].nics[end->nic].network)
			return SIZE_MAX;
		if (nic->network == TOPO_NO_NETWORK || topology_nic_is_tap(t, nic))
			continue;
		any = true;
		sum += r->flow[i].sent;
	}
	return any ? sum : SIZE_MAX;
}

void bench_round_judge(const struct topology *t, const struct bench_trial *x,
	const struct bench_raw *raw, struct bench_round *r)
{
	uint64_t sent = sent_to_switch(t, x, r);

	warn_flows(t, x, r);
	if (r->sw.flooded && !r->apart)
		bench_round_warn(r, BENCH_FLOODED, (double)r->sw.flooded,
			"%llu frames were flooded: an address was forgotten during the trial "
			"(ageing_s), or never learnt",
			(unsigned long long)r->sw.flooded);
	if (r->sw.rx_frames != sent && sent != SIZE_MAX)
		bench_round_warn(r, BENCH_MISCOUNT, fabs((double)sent - (double)r->sw.rx_frames),
			"the guests say they sent %llu frames, the switch counted %llu from them",
			(unsigned long long)sent, (unsigned long long)r->sw.rx_frames);
	if (r->unexplained > 0)
		bench_round_warn(r, BENCH_UNEXPLAINED, (double)r->unexplained,
			"%lld frames were LOST WITHOUT A REASON: sent, not received, and counted as "
			"dropped nowhere",
			(long long)r->unexplained);
	for (size_t i = 0; i < r->n_nets; i++)
		if (r->net[i].rx_frames + r->net[i].tx_frames && !bench_net_takes_part(t, x, i))
			bench_round_warn(r, BENCH_LEAK,
				(double)r->net[i].rx_frames + (double)r->net[i].tx_frames,
				"network %s takes no part, but saw %llu frames from its guests and %llu to "
				"them",
				t->networks[i].name, (unsigned long long)r->net[i].rx_frames,
				(unsigned long long)r->net[i].tx_frames);
	bench_cpus_judge(t, r);
	warn_ports(raw->stats_after, r);
}
