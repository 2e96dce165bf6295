/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON-RPC methods of captures: docs/control.md. On the control thread. */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/rpc.h"
#include "vswitch/capture.h"
#include "vswitch/methods.h"

static const char *const dir_names[] = { "rx", "tx", "both" };

static int direction_of(const json_t *params, struct sw_capture_config *c, struct err *e)
{
	const char *d = json_string_value(json_object_get(params, "direction"));

	for (unsigned i = 0; i < 3; i++) {
		if (d ? strcmp(d, dir_names[i]) : i != 2)
			continue;
		c->dir[TAP_RX] = i != 1;
		c->dir[TAP_TX] = i != 0;
		return 0;
	}
	err_request(e, -EINVAL,
		"direction \"%s\": expected \"rx\" (from the guest), \"tx\" (to it) or \"both\"",
		d);
	return err_field(e, "direction");
}

int sw_m_capture_start(void *ctx, const json_t *params, json_t **result, struct err *e)
{
	struct sw_service *s = ctx;
	struct sw_capture_config c = {
		.port = json_string_value(json_object_get(params, "port")),
		.socket = json_string_value(json_object_get(params, "socket")),
		.snaplen = (uint32_t)json_integer_value(json_object_get(params, "snaplen")),
		.buffer_bytes =
			(uint64_t)json_integer_value(json_object_get(params, "buffer_bytes")),
	};
	uint32_t id = 0;
	int ret = direction_of(params, &c, e);

	if (ret == 0)
		ret = sw_capture_start(s->sw, &c, &id, e);
	if (ret == 0)
		*result = json_pack("{s:I}", "id", (json_int_t)id);
	return ret;
}

int sw_m_capture_stop(void *ctx, const json_t *params, json_t **result, struct err *e)
{
	uint32_t id = (uint32_t)json_integer_value(json_object_get(params, "id"));
	struct sw_service *s = ctx;
	struct sw_capture_counts k;
	int ret = sw_capture_stop(s->sw, id, &k, e);

	if (ret == 0)
		*result = json_pack("{s:I, s:I, s:I}", "frames", (json_int_t)k.frames, "bytes",
			(json_int_t)k.bytes, "not_kept", (json_int_t)k.not_kept);
	return ret;
}

static json_t *capture_json(const struct sw_capture *c)
{
	uint64_t lost = 0;

	for (uint32_t i = 0; i < c->n_rings; i++)
		lost += dp_counter_read(&c->rings[i].lost);
	return json_pack("{s:I, s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "id", (json_int_t)c->id,
		"port", c->port_name, "direction",
		dir_names[c->dir[TAP_RX] && c->dir[TAP_TX] ? 2
				: c->dir[TAP_TX]           ? 1
							   : 0],
		"snaplen", (json_int_t)c->rings[0].snaplen, "age_s",
		(json_int_t)((clock_now_ns() - c->start_ns) / NS_PER_S), "frames",
		(json_int_t)dp_counter_read(&c->frames), "bytes",
		(json_int_t)dp_counter_read(&c->bytes), "not_kept", (json_int_t)lost);
}

int sw_m_captures(void *ctx, const json_t *params, json_t **result, struct err *e)
{
	struct sw_service *s = ctx;
	json_t *list = json_array();

	/* Only this thread changes the list. */
	for (int i = 0; i < SW_CAPTURES_MAX; i++)
		if (s->sw->captures[i])
			json_array_append_new(list, capture_json(s->sw->captures[i]));
	*result = json_pack("{s:o}", "captures", list);
	return 0;
}

const struct rpc_param sw_capture_start_params[] = {
	{ "port", JSON_STRING, true, 0, 0 },
	{ "socket", JSON_STRING, true, 0, 0 },
	{ "direction", JSON_STRING, false, 0, 0 },
	{ "snaplen", JSON_INTEGER, false, 0, TAP_SNAPLEN_MAX },
	{ "buffer_bytes", JSON_INTEGER, false, TAP_RING_MIN, SW_CAPTURE_BUFFER_MAX },
	{ NULL, JSON_NULL, false, 0, 0 },
};

const struct rpc_param sw_capture_stop_params[] = {
	{ "id", JSON_INTEGER, true, 1, UINT32_MAX },
	{ NULL, JSON_NULL, false, 0, 0 },
};
