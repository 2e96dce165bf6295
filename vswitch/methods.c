/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON-RPC methods of docs/control.md. On the control thread. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/rpc.h"
#include "vswitch/eal.h"
#include "vswitch/edge.h"
#include "vswitch/methods.h"
#include "vswitch/switch.h"

static const char *text_of(const json_t *params, const char *key)
{
	return json_string_value(json_object_get(params, key));
}

static json_int_t int_of(const json_t *params, const char *key, json_int_t otherwise)
{
	const json_t *v = json_object_get(params, key);

	return v ? json_integer_value(v) : otherwise;
}

/* The addresses that a request means, by "network", "port" and "vlan". */
static int filter_of(struct sw *sw, const json_t *params, struct sw_fdb_filter *f, struct err *e)
{
	const char *net = text_of(params, "network"), *port = text_of(params, "port");
	const struct sw_port *p = port ? sw_port_find(sw, port) : NULL;

	f->net = net ? sw_net_find(sw, net) : -1;
	f->port = p ? p->dp->id : -1;
	f->vid = (int)int_of(params, "vlan", -1);
	if (net && f->net < 0) {
		err_request(e, -ENOENT, "there is no network \"%s\"", net);
		return err_field(e, "network");
	}
	if (port && !p) {
		err_request(e, -ENOENT, "there is no port \"%s\"", port);
		return err_field(e, "port");
	}
	return 0;
}

static int m_info(void *ctx, const json_t *params, json_t **result, struct err *e)
{
	struct sw_service *s = ctx;
	json_t *workers = json_array();

	for (uint32_t w = 0; w < s->sw->n_workers; w++) {
		int cpu = s->sw->workers[w].cpu;

		json_array_append_new(workers,
			json_pack("{s:o}", "cpu", cpu >= 0 ? json_integer(cpu) : json_null()));
	}
	*result = json_pack("{s:s, s:s, s:i, s:I, s:I, s:s, s:s, s:b, s:o}", "name",
		"lanyard-switch", "version", LANYARD_VERSION, "pid", (int)getpid(), "tsc_hz",
		(json_int_t)eal_tsc_hz(), "uptime_s",
		(json_int_t)((clock_now_ns() - s->sw->started_ns) / NS_PER_S), "poll",
		s->sw->shared.busy ? "busy" : "adaptive", "dpdk", eal_version(), "huge",
		s->sw->huge, "workers", workers);
	return 0;
}

static int m_network_add(void *ctx, const json_t *params, json_t **result, struct err *e)
{
	struct sw_service *s = ctx;

	*result = json_object();
	return sw_net_add(s->sw, text_of(params, "name"),
		(uint32_t)int_of(params, "mtu", SW_MTU_DEFAULT),
		(uint32_t)int_of(params, "ageing_s", SW_AGEING_DEFAULT_S), e);
}

static int m_network_del(void *ctx, const json_t *params, json_t **result, struct err *e)
{
	struct sw_service *s = ctx;

	*result = json_object();
	return sw_net_del(s->sw, text_of(params, "name"), e);
}

static int m_port_add(void *ctx, const json_t *params, json_t **result, struct err *e)
{
	struct sw_service *s = ctx;
	const char *role = text_of(params, "role");
	const json_t *mergeable = json_object_get(params, "mergeable");
	int ret;
	struct sw_port_config c = {
		.name = text_of(params, "name"),
		.network = text_of(params, "network"),
		.socket = text_of(params, "socket"),
		.client = role && strcmp(role, "client") == 0,
		.mergeable = !mergeable || json_is_true(mergeable),
		.queues = (uint16_t)int_of(params, "queues", 1),
		.policy = params,
	};

	if (role && !c.client && strcmp(role, "server")) {
		err_request(e, -EINVAL, "role \"%s\": expected \"server\" or \"client\"", role);
		return err_field(e, "role");
	}
	ret = sw_edge_request(params, &c, e);
	if (ret)
		return ret;
	*result = json_object();
	return sw_port_add(s->sw, &c, e);
}

static int m_port_del(void *ctx, const json_t *params, json_t **result, struct err *e)
{
	struct sw_service *s = ctx;

	*result = json_object();
	return sw_port_del(s->sw, text_of(params, "name"), e);
}

static int m_stats(void *ctx, const json_t *params, json_t **result, struct err *e)
{
	struct sw_service *s = ctx;

	*result = sw_stats(s->sw, text_of(params, "port"), e);
	return *result ? 0 : e->code;
}

static int m_rebalance(void *ctx, const json_t *params, json_t **result, struct err *e)
{
	struct sw_service *s = ctx;

	*result = sw_rebalance_now(s->sw);
	return 0;
}

static int m_queue_assign(void *ctx, const json_t *params, json_t **result, struct err *e)
{
	struct sw_service *s = ctx;

	*result = json_object();
	return sw_queue_assign(s->sw, text_of(params, "port"), (uint32_t)int_of(params, "queue", 0),
		(int)int_of(params, "worker", -1), e);
}

static int m_configure(void *ctx, const json_t *params, json_t **result, struct err *e)
{
	struct sw_service *s = ctx;

	*result = json_object();
	return sw_configure(
		s->sw, json_object_get(params, "networks"), json_object_get(params, "ports"), e);
}

static int m_fdb(void *ctx, const json_t *params, json_t **result, struct err *e)
{
	struct sw_service *s = ctx;
	struct sw_fdb_filter f;
	int ret = filter_of(s->sw, params, &f, e);

	if (ret)
		return ret;
	*result = sw_fdb_list(s->sw, f, (uint32_t)int_of(params, "limit", SW_FDB_LIST_DEFAULT));
	return 0;
}

static int m_fdb_flush(void *ctx, const json_t *params, json_t **result, struct err *e)
{
	struct sw_service *s = ctx;
	struct sw_fdb_filter f;
	int ret = filter_of(s->sw, params, &f, e);

	if (ret)
		return ret;
	*result = json_pack("{s:i}", "removed", (int)sw_fdb_flush(s->sw, f));
	return 0;
}

static int m_shutdown(void *ctx, const json_t *params, json_t **result, struct err *e)
{
	struct sw_service *s = ctx;

	/* The reply must leave first. */
	s->stopping = true;
	*result = json_object();
	return loop_set_timer(s->stop_timer, 10 * NS_PER_MS, 0);
}

static const struct rpc_param network_add_params[] = {
	{ "name", JSON_STRING, true, 0, 0 },
	{ "mtu", JSON_INTEGER, false, SW_MTU_MIN, SW_MTU_MAX },
	{ "ageing_s", JSON_INTEGER, false, 1, SW_AGEING_MAX_S },
	{ NULL, JSON_NULL, false, 0, 0 },
};

static const struct rpc_param name_params[] = {
	{ "name", JSON_STRING, true, 0, 0 },
	{ NULL, JSON_NULL, false, 0, 0 },
};

static const struct rpc_param port_add_params[] = {
	{ "name", JSON_STRING, true, 0, 0 },
	{ "network", JSON_STRING, true, 0, 0 },
	{ "kind", JSON_STRING, false, 0, 0 },
	{ "socket", JSON_STRING, false, 0, 0 },
	{ "ifname", JSON_STRING, false, 0, 0 },
	{ "pci", JSON_STRING, false, 0, 0 },
	{ "vdev", JSON_STRING, false, 0, 0 },
	{ "role", JSON_STRING, false, 0, 0 },
	{ "queues", JSON_INTEGER, false, 1, DP_PAIRS_MAX },
	{ "mergeable", JSON_TRUE, false, 0, 0 },
	/* The policy: policy_json.c looks at it. */
	{ "vlan", RPC_ANY, false, 0, 0 },
	{ "isolated", RPC_ANY, false, 0, 0 },
	{ "admin", RPC_ANY, false, 0, 0 },
	{ "mac_limit", RPC_ANY, false, 0, 0 },
	{ "static", RPC_ANY, false, 0, 0 },
	{ "spoof", RPC_ANY, false, 0, 0 },
	{ "storm", RPC_ANY, false, 0, 0 },
	{ "police", RPC_ANY, false, 0, 0 },
	{ "offloads", RPC_ANY, false, 0, 0 },
	{ "mirror", RPC_ANY, false, 0, 0 },
	{ NULL, JSON_NULL, false, 0, 0 },
};

static const struct rpc_param configure_params[] = {
	{ "networks", JSON_OBJECT, false, 0, 0 },
	{ "ports", JSON_OBJECT, false, 0, 0 },
	{ NULL, JSON_NULL, false, 0, 0 },
};

static const struct rpc_param stats_params[] = {
	{ "port", JSON_STRING, false, 0, 0 },
	{ NULL, JSON_NULL, false, 0, 0 },
};

static const struct rpc_param queue_assign_params[] = {
	{ "port", JSON_STRING, true, 0, 0 },
	{ "queue", JSON_INTEGER, true, 0, DP_PAIRS_MAX - 1 },
	{ "worker", JSON_INTEGER, false, 0, DP_WORKERS_MAX - 1 },
	{ NULL, JSON_NULL, false, 0, 0 },
};

static const struct rpc_param fdb_params[] = {
	{ "network", JSON_STRING, false, 0, 0 },
	{ "port", JSON_STRING, false, 0, 0 },
	{ "vlan", JSON_INTEGER, false, 0, DP_VLAN_LAST },
	{ "limit", JSON_INTEGER, false, 1, SW_FDB_LIST_MAX },
	{ NULL, JSON_NULL, false, 0, 0 },
};

static const struct rpc_param fdb_flush_params[] = {
	{ "network", JSON_STRING, false, 0, 0 },
	{ "port", JSON_STRING, false, 0, 0 },
	{ "vlan", JSON_INTEGER, false, 0, DP_VLAN_LAST },
	{ NULL, JSON_NULL, false, 0, 0 },
};

const struct rpc_method sw_methods[] = {
	{ "info", m_info, NULL },
	{ "network_add", m_network_add, network_add_params },
	{ "network_del", m_network_del, name_params },
	{ "port_add", m_port_add, port_add_params },
	{ "port_del", m_port_del, name_params },
	{ "configure", m_configure, configure_params },
	{ "stats", m_stats, stats_params },
	{ "fdb", m_fdb, fdb_params },
	{ "fdb_flush", m_fdb_flush, fdb_flush_params },
	{ "rebalance", m_rebalance, NULL },
	{ "queue_assign", m_queue_assign, queue_assign_params },
	{ "capture_start", sw_m_capture_start, sw_capture_start_params },
	{ "capture_stop", sw_m_capture_stop, sw_capture_stop_params },
	{ "captures", sw_m_captures, NULL },
	{ "shutdown", m_shutdown, NULL },
	{ NULL, NULL, NULL },
};
