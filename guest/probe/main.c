/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The probe: start-up, and the main loop, all in ring 3. boot.S is ring 0.
 *
 *	poll the engine -> lines of the agent -> device events -> nothing to do for a while? sleep
 *
 * Sleeping is HLT with interrupts armed: at the next received frame, at half an empty transmit
 * ring for a sender that found it full, at a byte on COM2, and at the time when the next paced
 * frame is due. A deadline nearer than what waking takes is waited for by spinning.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "traffic/agent.h"
#include "guest/probe/cpu.h"
#include "guest/probe/mem.h"
#include "guest/probe/pci.h"
#include "guest/probe/serial.h"
#include "guest/probe/share.h"
#include "guest/probe/timer.h"
#include "guest/probe/vnet.h"
#include "traffic/engine.h"

#define NICS_MAX 16

#define ECAM_LANYARD 0xe0000000ull /* docs/control.md; elsewhere "ecam=" on the command line */
#define ID_Q35       0x29c08086u   /* QEMU's host bridge: another machine than ours */

#define PAUSE_FRAMES 1024 /* a polite flat-out sender pauses after so many, so long: a ring's */
#define PAUSE_US     100  /* worth, and what somebody needs to wake and take them */
#define RETRY_US     2000 /* a client that doesn't read, a device that doesn't restart */
#define NAP_US       100  /* a polite sender sleeps at least so long between two frames */
#define MARGIN_US    20   /* a polite sender asks to be woken so long before a frame is due */
#define SPIN_US      50   /* rings empty for so long: sleep; "spin_us=" on the command line */

struct probe {
	bool lanyard; /* the machine is lanyard-vmm's */
	uint32_t n_nics;
	struct vnet *nic[NICS_MAX];
	struct traffic_engine *engine;
	struct agent agent;
	uint64_t halts;
	uint64_t spin_tsc; /* rings empty for so long: sleep */
	struct share share;
	uint64_t pause_tsc, polite_margin_tsc, nap_tsc, retry_tsc; /* spans */
	uint64_t restart_tsc, restarted;                           /* for the tests: span, TSC */
	uint64_t reply_retry, device_retry[NICS_MAX];              /* TSC: not before */
	uint64_t pause_at; /* frames sent: a polite flat-out sender pauses when there are more */

	char line[AGENT_LINE_MAX];
	size_t line_len;
	bool line_too_long;
	char reply[AGENT_REPLY_MAX];
	size_t reply_len, reply_sent;
};

extern uint32_t probe_start_info;
_Noreturn void probe_main(void);

static uint32_t agent_n_nics(void *ctx)
{
	return ((struct probe *)ctx)->n_nics;
}

static void agent_nic(void *ctx, uint32_t i, struct agent_nic *out)
{
	const struct vnet *v = ((struct probe *)ctx)->nic[i];

	*out = (struct agent_nic){
		.mac = v->port.mac,
		.mtu = v->mtu,
		.queues = 1,
		.link = v->link,
		.features = v->features,
		.notifications_sent = v->rx.kicks + v->tx.kicks,
		.interrupts = vnet_interrupts(v),
	};
}

static uint64_t agent_halts(void *ctx)
{
	return ((struct probe *)ctx)->halts;
}

static const struct agent_ops agent_ops = { agent_n_nics, agent_nic, agent_halts };

_Noreturn static void power_off(bool lanyard)
{
	if (lanyard)
		cpu_out8(0x600, 0x34);
	else
		cpu_out16(0x604, 0x2000); /* PM1a_CNT of q35: S5 */
	cpu_halt();
}

_Noreturn static void give_up(bool lanyard, const char *why)
{
	serial_print("probe: ");
	serial_print(why);
	serial_print("\n");
	power_off(lanyard);
}

static void open_nics(struct probe *p)
{
	uint32_t slots[NICS_MAX], n = 0;
	const char *why;

	for (uint32_t i = 1; i < PCI_DEVICES && n < NICS_MAX; i++) {
		uint32_t id = pci_id(i);

		if (id == PCI_ID_VIRTIO_NET)
			slots[n++] = i;
		else if (p->lanyard && id == 0xffffffff)
			break; /* NIC i is device i + 1, without gaps */
	}
	for (uint32_t i = 0; i < n; i++) {
		struct vnet *v = mem_alloc(sizeof(*v), 64);
		size_t budget = mem_left() / (n - i) * 3 / 4;

		if (!v)
			give_up(p->lanyard, "not enough memory for a NIC");
		if (!vnet_open(v, slots[i], i, budget, &why)) {
			serial_print("probe: a NIC doesn't work: ");
			give_up(p->lanyard, why);
		}
		p->nic[p->n_nics++] = v;
		traffic_engine_add_port(p->engine, &v->port);
	}
}

static void print_banner(const struct probe *p, uint64_t since)
{
	char line[160];
	struct json_out o = { .buf = line, .cap = sizeof(line) };
	uint64_t us = (cpu_tsc() - since) / (p->engine->tsc_hz / 1000000);

	/* The JSON writer is the only formatter there is, and one string is one exit. */
	json_text(&o, "probe " LANYARD_VERSION ": NICs: ");
	json_text_u64(&o, p->n_nics);
	json_text(&o, ", ready after us: ");
	json_text_u64(&o, us);
	json_text(&o, "\n");
	serial_write(o.buf, o.len);
}

/* For the tests: "fault=ADDRESS" on the command line reads there, "fault=0" executes nonsense. */
static void provoke_fault(void)
{
	uint64_t at = mem_cmdline_u64("fault=", UINT64_MAX);

	if (!at)
		asm volatile("ud2");
	else if (at != UINT64_MAX)
		mmio_get32((const volatile void *)at);
}

static struct probe *start(void)
{
	uint64_t begin = cpu_tsc();
	bool lanyard = true;
	struct probe *p;
	uint64_t tsc_hz;

	mem_init(probe_start_info);
	if (!pci_init(mem_cmdline_u64("ecam=", ECAM_LANYARD)))
		give_up(lanyard, "no PCI configuration space (ecam= on the command line?)");
	lanyard = pci_id(0) != ID_Q35;
	serial_init(lanyard);
	p = mem_alloc(sizeof(*p), 64);
	if (p)
		p->engine = mem_alloc(sizeof(*p->engine), 64);
	if (!p || !p->engine)
		give_up(lanyard, "not enough memory: 8 MiB are the least");
	p->lanyard = lanyard;
	tsc_hz = mem_cmdline_u64("tsc_hz=", 0);
	if (!tsc_hz)
		give_up(p->lanyard, "tsc_hz= is not on the command line");
	timer_init(tsc_hz);
	traffic_engine_init(p->engine, tsc_hz);
	p->spin_tsc = tsc_hz / 1000000 * mem_cmdline_u64("spin_us=", SPIN_US);
	p->pause_tsc = tsc_hz / 1000000 * PAUSE_US;
	p->polite_margin_tsc = tsc_hz / 1000000 * MARGIN_US;
	share_init(&p->share, tsc_hz, cpu_tsc());
	p->restart_tsc = tsc_hz / 1000 * mem_cmdline_u64("restart_ms=", 0);
	p->nap_tsc = tsc_hz / 1000000 * NAP_US;
	p->retry_tsc = tsc_hz / 1000000 * RETRY_US;
	p->agent.ops = &agent_ops;
	p->agent.ctx = p;
	p->agent.engine = p->engine;
	p->agent.guest = "probe";
	open_nics(p);
	traffic_engine_seed(p->engine, p->n_nics ? ether_mac_u64(p->nic[0]->port.mac) : 0);
	print_banner(p, begin);
	provoke_fault();
	return p;
}

/* A byte of a request. At its newline it is answered; the reply is sent bit by bit. */
static void agent_byte(struct probe *p, char c)
{
	if (c != '\n') {
		if (p->line_len < sizeof(p->line))
			p->line[p->line_len++] = c;
		else
			p->line_too_long = true;
		return;
	}
	if (p->line_too_long)
		p->reply_len = agent_line_too_long(p->reply, sizeof(p->reply));
	else if (p->line_len)
		p->reply_len =
			agent_handle(&p->agent, p->line, p->line_len, p->reply, sizeof(p->reply));
	p->line_len = 0;
	p->line_too_long = false;
	p->reply_sent = 0;
}

/* Sends a piece of the reply, or reads a piece of the next request: one exit or two. True if
 * there was something to do. */
static bool agent_poll(struct probe *p, uint64_t now)
{
	static char buf[1024];
	static size_t at, n; /* bytes read and not yet used */
	size_t sent;

	if (p->reply_sent < p->reply_len) {
		if (now < p->reply_retry)
			return false;
		sent = serial_agent_write(p->reply + p->reply_sent, p->reply_len - p->reply_sent);
		p->reply_sent += sent;
		if (!sent)
			p->reply_retry = now + p->retry_tsc;
		return sent;
	}
	if (p->agent.shutdown)
		power_off(p->lanyard);
	p->reply_len = 0;
	if (at == n) {
		if (!serial_agent_waits())
			return false;
		at = 0;
		n = serial_agent_read(buf, sizeof(buf));
	}
	while (at < n && !p->reply_len)
		agent_byte(p, buf[at++]);
	return true;
}

static void events_poll(struct probe *p, uint64_t now)
{
	/* For the tests: as if the first NIC's rings were found broken. */
	if (p->restart_tsc && now - p->restarted > p->restart_tsc && p->n_nics) {
		p->restarted = now;
		p->nic[0]->broken = true;
	}
	for (uint32_t i = 0; i < p->n_nics; i++) {
		struct vnet *v = p->nic[i];

		if (!vnet_has_event(v) || now < p->device_retry[i])
			continue;
		vnet_events(v);
		if (v->broken) /* its restart failed */
			p->device_retry[i] = now + p->retry_tsc;
	}
}

/* When something has to be tried again that no interrupt announces: the earlier of it and `at`. */
static uint64_t retry_time(const struct probe *p, uint64_t at)
{
	uint64_t t = p->reply_sent < p->reply_len ? p->reply_retry : 0;

	for (uint32_t i = 0; i < p->n_nics; i++)
		if (p->nic[i]->broken && (!t || p->device_retry[i] < t))
			t = p->device_retry[i];
	return t && (!at || t < at) ? t : at;
}

/* Sleeps if nothing has come up since; wake_tsc: when to be back, 0: no matter. */
static void sleep(struct probe *p, bool tx, uint64_t wake_tsc)
{
	uint32_t irqs = irq_total;
	bool quiet = p->reply_sent < p->reply_len || !serial_agent_waits();

	barrier();
	for (uint32_t i = 0; i < p->n_nics; i++) {
		quiet = quiet && (p->nic[i]->broken || !vnet_has_event(p->nic[i]));
		quiet = vnet_arm(p->nic[i], tx) && quiet;
	}
	if (quiet) {
		p->halts++;
		timer_sleep(irqs, retry_time(p, wake_tsc));
		share_slept(&p->share, cpu_tsc());
	}
	for (uint32_t i = 0; i < p->n_nics; i++)
		vnet_disarm(p->nic[i]);
}

static uint64_t frames_sent(const struct probe *p)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < p->n_nics; i++)
		n += p->nic[i]->port.tx_frames;
	return n;
}

static bool is_own_mac(const struct probe *p, struct ether_mac mac)
{
	for (uint32_t i = 0; i < p->n_nics; i++)
		if (ether_mac_u64(p->nic[i]->port.mac) == ether_mac_u64(mac))
			return true;
	return false;
}

/* Sends flat out, and not only to itself. */
static bool floods_others(const struct probe *p)
{
	for (uint32_t i = 0; i < p->engine->n_flows; i++) {
		const struct traffic_flow *f = &p->engine->flow[i];

		if (f->spec.role == TRAFFIC_SEND && f->started && !f->done && !f->spec.rate_mfps &&
			!is_own_mac(p, f->spec.peer))
			return true;
	}
	return false;
}

/* A polite flat-out sender: after a ring of frames, let somebody receive them. */
static void pause_sender(struct probe *p, uint64_t now)
{
	uint64_t sent = frames_sent(p);

	if (sent < p->pause_at && p->pause_at - sent <= PAUSE_FRAMES)
		return;
	p->pause_at = sent + PAUSE_FRAMES;
	sleep(p, false, now + p->pause_tsc);
}

/*
 * Nothing to do for a while, or at once if polite: sleeps as long as the senders allow. A polite
 * sender whose frames are due in quick succession sends them in bunches: whoever spins from one to
 * the next loses the CPU for milliseconds instead.
 */
static void idle(struct probe *p, uint64_t now)
{
	uint64_t next = traffic_engine_next(p->engine);
	bool polite = p->share.polite;

	if (next == UINT64_MAX)
		sleep(p, false, 0);
	else if (next <= now) /* a sender that finds no room */
		sleep(p, true, 0);
	else if (next - now > timer_margin())
		sleep(p, false, next - (polite ? p->polite_margin_tsc : timer_margin()));
	else if (polite)
		sleep(p, false, now + p->nap_tsc > next ? now + p->nap_tsc : next);
}

void probe_main(void)
{
	struct probe *p = start();
	uint64_t idle_since = 0;

	for (;;) {
		bool busy = traffic_engine_poll(p->engine);
		uint64_t now;

		now = cpu_tsc();
		busy |= agent_poll(p, now);
		events_poll(p, now);
		share_round(&p->share, now);
		if (busy) {
			idle_since = 0;
			if (p->share.polite && floods_others(p))
				pause_sender(p, now);
			continue;
		}
		cpu_relax();
		if (!idle_since)
			idle_since = now;
		if (!p->share.polite && now - idle_since < p->spin_tsc)
			continue;
		idle(p, now);
	}
}
