/* SPDX-License-Identifier: Apache-2.0 */
#include "traffic/agent.h"
#include "traffic/agent_call.h"

void agent_copy_text(char *out, size_t size, const char *s)
{
	size_t n = __builtin_strlen(s);

	if (n >= size)
		n = size - 1;
	__builtin_memcpy(out, s, n);
	out[n] = '\0';
}

void agent_set_field(struct agent *a, const char *field)
{
	agent_copy_text(a->field, sizeof(a->field), field);
}

const struct failure *agent_invalid(struct failure *f, const char *text)
{
	*f = (struct failure){ RPC_INVALID_PARAMS, CLASS_REQUEST, ERRNO_EINVAL, text };
	return f;
}

static void put_int(struct json_out *o, int v)
{
	char digits[12];
	size_t n = sizeof(digits);
	unsigned u = v < 0 ? 0u - (unsigned)v : (unsigned)v;

	do {
		digits[--n] = (char)('0' + u % 10);
		u /= 10;
	} while (u);
	if (v < 0)
		digits[--n] = '-';
	json_raw(o, digits + n, sizeof(digits) - n);
}

static void reply_begin(struct json_out *o, char *buf, size_t cap, const char *id, size_t id_len)
{
	*o = (struct json_out){ .buf = buf, .cap = cap };
	json_open(o, '{');
	json_member_str(o, "jsonrpc", "2.0");
	json_key(o, "id");
	json_raw(o, id, id_len);
}

static size_t reply_end(struct json_out *o)
{
	json_close(o, '}');
	if (o->overflow || o->len == o->cap)
		return 0;
	o->buf[o->len++] = '\n';
	return o->len;
}

static size_t reply_error(char *buf, size_t cap, const char *id, size_t id_len,
	const struct failure *f, const char *field)
{
	struct json_out o;

	reply_begin(&o, buf, cap, id, id_len);
	json_key(&o, "error");
	json_open(&o, '{');
	json_key(&o, "code");
	put_int(&o, f->code);
	json_member_str(&o, "message", f->text);
	json_key(&o, "data");
	json_open(&o, '{');
	json_member_u64(&o, "class", (uint64_t)f->class);
	json_member_u64(&o, "errno", (uint64_t)f->err);
	if (field[0])
		json_member_str(&o, "field", field);
	json_close(&o, '}');
	json_close(&o, '}');
	return reply_end(&o);
}

static void put_mac(struct json_out *o, const char *key, struct ether_mac mac)
{
	char s[ETHER_MAC_STR];

	json_member_str(o, key, ether_mac_str(mac, s));
}

bool agent_keys_known(struct call *c, int obj, const char *const *known)
{
	const struct json_doc *d = &c->doc;
	int i = obj + 1;

	for (unsigned k = 0; k < d->tok[obj].n; k++, i = d->tok[i + 1].next) {
		const char *const *s = known;

		while (*s && !json_is(d, i, *s))
			s++;
		if (*s)
			continue;
		if (!json_str(d, i, c->a->field, sizeof(c->a->field)))
			agent_set_field(c->a, "?");
		return false;
	}
	return true;
}

static const struct failure reply_too_long = { RPC_FAILED, CLASS_FAILED, ERRNO_E2BIG,
	"the reply is longer than a line of 65536 bytes: ask for one flow, \"flow\": id" };
const struct failure agent_unknown_key = { RPC_INVALID_PARAMS, CLASS_REQUEST, ERRNO_EINVAL,
	"unknown key in the parameters" };

static const struct failure *method_hello(struct call *c)
{
	struct agent *a = c->a;
	struct json_out *o = &c->out;

	json_open(o, '{');
	json_member_str(o, "guest", a->guest);
	json_member_str(o, "version", LANYARD_VERSION);
	json_member_u64(o, "tsc", traffic_tsc());
	json_member_u64(o, "tsc_hz", a->engine->tsc_hz);
	json_key(o, "nics");
	json_open(o, '[');
	for (uint32_t i = 0; i < a->ops->n_nics(a->ctx); i++) {
		struct agent_nic n;

		a->ops->nic(a->ctx, i, &n);
		json_open(o, '{');
		json_member_u64(o, "index", i);
		put_mac(o, "mac", n.mac);
		json_member_u64(o, "mtu", n.mtu);
		json_member_bool(o, "link", n.link);
		json_member_u64(o, "queues", n.queues);
		json_key(o, "features");
		json_put_hex(o, n.features);
		json_close(o, '}');
	}
	json_close(o, ']');
	json_close(o, '}');
	return NULL;
}

static void put_latency(struct json_out *o, const struct traffic_hist *h, bool buckets)
{
	json_key(o, "latency");
	json_open(o, '{');
	json_member_u64(o, "count", h->count);
	json_member_u64(o, "min_tsc", h->count ? h->min : 0);
	json_member_u64(o, "max_tsc", h->max);
	json_member_u64(o, "sum_tsc", h->sum);
	json_member_u64(o, "p50_tsc", traffic_hist_quantile(h, 500000));
	json_member_u64(o, "p90_tsc", traffic_hist_quantile(h, 900000));
	json_member_u64(o, "p99_tsc", traffic_hist_quantile(h, 990000));
	json_member_u64(o, "p999_tsc", traffic_hist_quantile(h, 999000));
	if (buckets) {
		json_key(o, "buckets");
		json_open(o, '[');
		for (uint32_t i = 0; i < TRAFFIC_HIST_BUCKETS; i++) {
			if (!h->bucket[i])
				continue;
			json_open(o, '[');
			json_put_u64(o, traffic_hist_lower(i));
			json_put_u64(o, h->bucket[i]);
			json_close(o, ']');
		}
		json_close(o, ']');
	}
	json_close(o, '}');
}

static void put_flow(struct json_out *o, const struct traffic_flow *f, bool histogram)
{
	bool send = f->spec.role == TRAFFIC_SEND;

	json_open(o, '{');
	json_member_u64(o, "id", f->spec.id);
	json_member_str(o, "role", send ? "send" : "receive");
	json_member_u64(o, "nic", f->spec.port);
	json_member_bool(o, "done", f->done);
	json_member_u64(o, "first_tsc", f->first_tsc);
	json_member_u64(o, "last_tsc", f->last_tsc);
	json_member_u64(o, "frames", f->frames);
	json_member_u64(o, "bytes", f->bytes);
	if (send) {
		json_member_u64(o, "ring_full", f->ring_full);
		json_member_u64(o, "late_max_tsc", f->late_max_tsc);
	} else {
		json_member_u64(o, "lost", f->seq.lost);
		json_member_u64(o, "duplicated", f->seq.duplicated);
		json_member_u64(o, "reordered", f->seq.reordered);
		json_member_u64(o, "stale", f->seq.stale);
		json_member_u64(o, "corrupt", f->corrupt);
		json_member_u64(o, "last_gap_tsc", f->last_gap_tsc);
		put_latency(o, &f->latency, histogram);
	}
	json_close(o, '}');
}

/* What a caller wants of traffic_status. */
struct wish {
	bool histogram, counters;
	uint64_t only; /* a flow's id; 0: all */
};

static void put_counters(struct json_out *o, const struct agent *a, uint32_t i)
{
	struct nic_counters n = { 0 };

	a->ops->counters(a->ctx, i, &n);
	json_key(o, "counters");
	json_open(o, '{');
#define X(name) json_member_u64(o, #name, n.name);
	NIC_COUNTERS(X)
#undef X
	json_close(o, '}');
}

static const struct failure *put_status(struct call *c, const struct wish *w)
{
	struct agent *a = c->a;
	struct json_out *o = &c->out;

	json_open(o, '{');
	json_member_u64(o, "tsc", traffic_tsc());
	json_key(o, "flows");
	json_open(o, '[');
	for (uint32_t i = 0; i < a->engine->n_flows; i++)
		if (!w->only || a->engine->flow[i].spec.id == w->only)
			put_flow(o, &a->engine->flow[i], w->histogram);
	json_close(o, ']');
	json_key(o, "nics");
	json_open(o, '[');
	for (uint32_t i = 0; i < a->ops->n_nics(a->ctx); i++) {
		const struct traffic_port *p = a->engine->port[i];
		struct agent_nic n;

		a->ops->nic(a->ctx, i, &n);
		json_open(o, '{');
		json_member_u64(o, "rx_frames", p->rx_frames);
		json_member_u64(o, "tx_frames", p->tx_frames);
		json_member_u64(o, "rx_other", p->rx_other);
		json_member_bool(o, "link", n.link);
		json_member_u64(o, "notifications_sent", n.notifications_sent);
		json_member_u64(o, "interrupts", n.interrupts);
		if (w->counters && a->ops->counters)
			put_counters(o, a, i);
		json_close(o, '}');
	}
	json_close(o, ']');
	json_member_u64(o, "halts", a->ops->halts(a->ctx));
	json_key(o, "load");
	json_open(o, '{');
	json_member_u64(o, "frames", a->engine->load.frames);
	json_member_u64(o, "tsc", a->engine->load.tsc);
	json_close(o, '}');
	json_close(o, '}');
	return o->overflow ? &reply_too_long : NULL;
}

static const struct failure *status_flag(struct call *c, const char *key, bool *v)
{
	static struct failure f;
	int i = json_find(&c->doc, c->params, key);

	if (i < 0 || json_bool(&c->doc, i, v))
		return NULL;
	agent_set_field(c->a, key);
	return agent_invalid(&f, "expected true or false");
}

static const struct failure *status_params(struct call *c, struct wish *w)
{
	static const char *const known[] = { "histogram", "counters", "flow", NULL };
	static struct failure f;
	const struct failure *bad;
	int i;

	*w = (struct wish){ 0 };
	if (c->params < 0)
		return NULL;
	if (!agent_keys_known(c, c->params, known))
		return &agent_unknown_key;
	bad = status_flag(c, "histogram", &w->histogram);
	if (!bad)
		bad = status_flag(c, "counters", &w->counters);
	if (bad)
		return bad;
	i = json_find(&c->doc, c->params, "flow");
	if (i >= 0 && (!json_u64(&c->doc, i, 65535, &w->only) || !w->only)) {
		agent_set_field(c->a, "flow");
		return agent_invalid(&f, "expected a flow's id, 1 to 65535");
	}
	return NULL;
}

static const struct failure *method_status(struct call *c)
{
	struct wish w;
	const struct failure *f = status_params(c, &w);

	return f ? f : put_status(c, &w);
}

static const struct failure *method_stop(struct call *c)
{
	struct wish w;
	const struct failure *f = status_params(c, &w);

	if (f)
		return f;
	traffic_engine_stop(c->a->engine);
	return put_status(c, &w);
}

static const struct failure *method_shutdown(struct call *c)
{
	c->a->shutdown = true;
	json_open(&c->out, '{');
	json_close(&c->out, '}');
	return NULL;
}

static const struct {
	const char *name;
	method_fn fn;
	bool params; /* takes any */
} methods[] = {
	{ "hello", method_hello, false },
	{ "traffic_start", agent_traffic_start, true },
	{ "traffic_status", method_status, true },
	{ "traffic_stop", method_stop, true },
	{ "shutdown", method_shutdown, false },
};

/* Finds the method and its parameters; the envelope of JSON-RPC 2.0, section 4. */
static const struct failure *open_request(struct call *c, size_t *method, bool *notification)
{
	static const struct failure not_object = { RPC_INVALID_REQUEST, CLASS_REQUEST, ERRNO_EINVAL,
		"expected a request object" };
	static const struct failure no_version = { RPC_INVALID_REQUEST, CLASS_REQUEST, ERRNO_EINVAL,
		"expected \"jsonrpc\": \"2.0\"" };
	static const struct failure bad_id = { RPC_INVALID_REQUEST, CLASS_REQUEST, ERRNO_EINVAL,
		"\"id\" is neither a number nor a string nor null" };
	static const struct failure no_method = {
		RPC_METHOD_NOT_FOUND, CLASS_REQUEST, ERRNO_EINVAL,
		"no such method: hello, traffic_start, traffic_status, traffic_stop and shutdown are there"
	};
	static const struct failure bad_params = { RPC_INVALID_PARAMS, CLASS_REQUEST, ERRNO_EINVAL,
		"\"params\" is not an object" };
	const struct json_doc *d = &c->doc;
	int i;

	if (d->tok[0].kind != JTOK_OBJECT)
		return &not_object;
	i = json_find(d, 0, "id");
	*notification = i < 0;
	if (i >= 0) {
		const struct json_tok *t = &d->tok[i];
		size_t quote = t->kind == JTOK_STRING;

		if (t->kind != JTOK_STRING && t->kind != JTOK_NUMBER && t->kind != JTOK_NULL)
			return &bad_id;
		c->id = d->text + t->at - quote;
		c->id_len = t->len + 2 * quote;
	}
	i = json_find(d, 0, "jsonrpc");
	if (i < 0 || !json_is(d, i, "2.0")) {
		*notification = false; /* not a request at all: say so */
		return &no_version;
	}
	i = json_find(d, 0, "method");
	for (*method = 0; i >= 0 && *method < sizeof(methods) / sizeof(methods[0]); ++*method)
		if (json_is(d, i, methods[*method].name))
			break;
	if (i < 0 || *method == sizeof(methods) / sizeof(methods[0]))
		return &no_method;
	c->params = json_find(d, 0, "params");
	if (c->params >= 0 && d->tok[c->params].kind != JTOK_OBJECT)
		return &bad_params;
	if (c->params >= 0 && d->tok[c->params].n && !methods[*method].params)
		return &agent_unknown_key;
	return NULL;
}

size_t agent_handle(struct agent *a, const char *line, size_t len, char *reply, size_t cap)
{
	struct call c = { .a = a, .params = -1, .id = "null", .id_len = 4 };
	const struct failure *f;
	struct failure parse;
	bool notification = false;
	size_t method;

	a->field[0] = '\0';
	if (json_read(&c.doc, line, len, a->tok, AGENT_TOKENS)) {
		parse = (struct failure){ RPC_PARSE_ERROR, CLASS_REQUEST, ERRNO_EINVAL, c.doc.why };
		return reply_error(reply, cap, c.id, c.id_len, &parse, "");
	}
	f = open_request(&c, &method, &notification);
	if (!f) {
		reply_begin(&c.out, reply, cap - 1, c.id, c.id_len);
		json_key(&c.out, "result");
		f = methods[method].fn(&c);
	}
	if (notification)
		return 0;
	if (!f) {
		size_t n = reply_end(&c.out);

		if (n)
			return n;
		f = &reply_too_long;
	}
	return reply_error(reply, cap, c.id, c.id_len, f, a->field);
}

size_t agent_line_too_long(char *reply, size_t cap)
{
	static const struct failure f = { RPC_PARSE_ERROR, CLASS_REQUEST, ERRNO_EINVAL,
		"the line is longer than 8192 bytes" };

	return reply_error(reply, cap, "null", 4, &f, "");
}
