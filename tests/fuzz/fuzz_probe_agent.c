/* SPDX-License-Identifier: Apache-2.0 */
/* The probe's agent: any line gets one line of JSON, or nothing, and the reader agrees with
 * jansson on what JSON is. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>

#include "traffic/agent.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint32_t n_nics(void *ctx)
{
	return 2;
}

static void nic(void *ctx, uint32_t i, struct agent_nic *out)
{
	*out = (struct agent_nic){ .mtu = 1500, .queues = 1 };
}

static uint64_t halts(void *ctx)
{
	return 0;
}

/* What jansson accepts we do, but for our limits, and but for a NUL behind the value, which is the
 * end of the text to it. */
static void check_reader(const char *text, size_t size)
{
	static struct json_tok tok[AGENT_TOKENS];
	struct json_doc d;
	json_t *v = json_loadb(
		text, size, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
	bool ours = !json_read(&d, text, size, tok, AGENT_TOKENS);

	if (v && !ours && !memchr(text, 0, size) && strcmp(d.why, "nested too deeply") &&
		strcmp(d.why, "too many values"))
		abort();
	json_decref(v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct agent_ops ops = { n_nics, nic, halts };
	static struct traffic_engine engine;
	static struct traffic_port ports[2] = { { .max_len = 1514 }, { .max_len = 1514 } };
	static struct agent agent = { .ops = &ops, .engine = &engine, .guest = "probe" };
	static char reply[AGENT_REPLY_MAX];
	char *text;
	size_t n;

	if (size > AGENT_LINE_MAX)
		return 0;
	if (!engine.n_ports) {
		traffic_engine_init(&engine, 2000000000);
		traffic_engine_add_port(&engine, &ports[0]);
		traffic_engine_add_port(&engine, &ports[1]);
	}
	text = malloc(size ? size : 1);
	memcpy(text, data, size);
	n = agent_handle(&agent, text, size, reply, sizeof(reply));
	if (n) {
		json_error_t e;
		json_t *v = json_loadb(reply, n, 0, &e);

		/* The id is given back as it came: numbers and escapes that jansson can't hold. */
		if (!v && json_error_code(&e) != json_error_numeric_overflow &&
			!memchr(text, '\\', size))
			abort();
		json_decref(v);
	}
	check_reader(text, size);
	free(text);
	return 0;
}
