/* SPDX-License-Identifier: Apache-2.0 */
/* The status document as text: what is wrong with a lab must be there in words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "lab/status.h"

static const char sick[] =
	"{'version': 1, 'lab': 'x', 'state': 'degraded', 'why': 'VM b is gone; do so', 'up_since_s': 0,"
	" 'file': '/f.json', 'dir': '/run/x', 'warnings': ['no hugepages'],"
	" 'switch': {'state': 'running', 'reason': null, 'workers': [{'cpu': 3, 'frames': 1000,"
	"  'bursts': 100, 'busy_cycles': 90000, 'idle_cycles': 10000, 'sleeps': 7, 'load': 0.25,"
	"  'burst_histogram': [900, 0, 3, 0, 0, 0, 97]}]},"
	" 'ports': ["
	"  {'name': 'a.0', 'network': 'lan', 'mac': '02:00:00:00:00:01', 'external': false,"
	"   'state': 'disabled', 'reason': 'descriptor loop in queue 0', 'rx': {'frames': 1234567},"
	"   'queue': [{'index': 0, 'worker': 0}, {'index': 1, 'worker': null}],"
	"   'tx': {'frames': 5}, 'drops': {'newer': 1, 'tx_ring_full': 2, 'rx_runt': 0}},"
	"  {'name': 'up', 'kind': 'tap', 'device': 'lan0', 'network': 'lan', 'mac': null,"
	"   'state': 'up', 'reason': null, 'rx': null, 'tx': null, 'drops': null,"
	"   'policy': {'vlan': {'access': 10}, 'isolated': true}},"
	"  {'name': 'c.0', 'network': 'lan', 'mac': '02:00:00:00:00:02', 'external': true,"
	"   'socket': '/run/x/c.0.vhost', 'state': null, 'reason': null, 'rx': null, 'tx': null,"
	"   'drops': null}],"
	" 'nodes': ["
	"  {'name': 'a', 'kind': 'vm', 'state': 'running', 'reason': null, 'pid': 12,"
	"   'memory_bytes': 67108864, 'huge': false, 'vcpus': [{'cpu': 1}, {'cpu': 2}], 'uptime_s': 130,"
	"   'resets': 2, 'nics': [{'port': 'a.0', 'link': 'down', 'reconnects': 2,"
	"   'needs_reset': true}]},"
	"  {'name': 'b', 'kind': 'vm', 'state': 'died', 'reason': 'killed, or crashed', 'pid': 13,"
	"   'log_changed_s': 0, 'memory_bytes': null, 'vcpus': null, 'nics': []},"
	"  {'name': 'c', 'kind': 'external', 'state': 'external', 'reason': null, 'nics': []},"
	"  {'name': 'd', 'kind': 'vm', 'state': 'running', 'reason': null, 'pid': 14, 'nics': [],"
	"   'guest': 'linux', 'root': 'host', 'agent': 'silent', 'kernel': null, 'panics': 1,"
	"   'problems': ['no route'], 'disks': [{'file': 'r.img', 'waiting': null},"
	"   {'file': 'q', 'waiting': 'nobody listens'}], 'shares': [{'tag': 'srv'}],"
	"   'helpers': [{'name': 'd.fs1', 'kind': 'share', 'state': 'died', 'reason': 'killed',"
	"   'log_changed_s': 0}, {'name': 'd', 'kind': 'disks', 'state': 'running', 'reason': null}]}]}";

static const char want[] =
	"lab x: degraded\n"
	"/run/x, from /f.json\n"
	"\n"
	"NODE  STATE     MEMORY  CPU     UP  RESETS  PID\n"
	"a     running      64M  1,2  2 min       2   12  no hugepages\n"
	"b     died           -    -      -       -   13\n"
	"c     external       -    -      -       -    -\n"
	"d     running        -    -      -       -   14\n"
	"\n"
	"PORT  NETWORK  MAC                STATE     FROM NIC  TO NIC  DROPPED\n"
	"a.0   lan      02:00:00:00:00:01  disabled    1.23 M       5        3\n"
	"up    lan      -                  up               -       -        -  tap lan0, VLAN 10, isolated\n"
	"c.0   lan      -                  -                -       -        -\n"
	"\n"
	"WORKER  CPU  QUEUES  LOAD  FRAMES  CYCLES/FRAME  FRAMES/BURST  SLEEPS\n"
	"0         3       1  25 %    1000            90          10.0       7  bursts of 1: 90 %, 64: 10 %\n"
	"\n"
	"NIC a.0: link down\n"
	"NIC a.0 needs a reset by its guest's driver\n"
	"NIC a.0 reconnected 2 times\n"
	"VM b died (last log line at 1970-01-01 00:00:00): killed, or crashed\n"
	"VM d: Linux -, root host, agent silent; disks r.img, q; share srv\n"
	"VM d, disk q: nobody listens\n"
	"VM d: its guest says: no route\n"
	"VM d: its guest panicked (lanyard logs x/d.console shows it)\n"
	"share d.fs1 died (last log line at 1970-01-01 00:00:00): killed\n"
	"port a.0 is disabled: descriptor loop in queue 0\n"
	"port a.0 dropped 1, newer\n"
	"port a.0 dropped 2, tx_ring_full: the receiver has no free buffers\n"
	"port c.0 is for a client of yours: vhost-user, socket /run/x/c.0.vhost\n"
	"VM b is gone; do so\n"
	"warning: no hugepages\n";

static json_t *load(const char *text)
{
	char *copy = strdup(text);
	json_t *j;

	for (char *c = copy; *c; c++)
		*c = *c == '\'' ? '"' : *c;
	j = json_loads(copy, 0, NULL);
	free(copy);
	assert_non_null(j);
	return j;
}

static char *print(const json_t *j, void (*fn)(const json_t *, FILE *, int), int width)
{
	char *out = NULL;
	size_t len;
	FILE *f = open_memstream(&out, &len);

	fn(j, f, width);
	fclose(f);
	return out;
}

static void test_sick(void **state)
{
	json_t *j = load(sick);
	char *out = print(j, status_print, 0);

	assert_string_equal(out, want);
	free(out);
	json_decref(j);
}

/* A document with every member missing in turn, or all of them: "-" where it was, no crash. */
static void test_missing(void **state)
{
	json_t *whole = load(sick), *empty = json_object(), *v;
	const char *key;
	char *out;
	void *next;

	json_object_foreach_safe(whole, next, key, v)
	{
		json_t *part = json_copy(whole);

		json_object_del(part, key);
		out = print(part, status_print, 40);
		assert_true(strlen(out) > 10);
		free(out);
		json_decref(part);
	}
	out = print(empty, status_print, 80);
	assert_memory_equal(out, "lab -: -\n", 9);
	free(out);
	json_decref(empty);
	json_decref(whole);
}

static void test_all(void **state)
{
	json_t *j = load("{'labs': [{'lab': 'x', 'state': 'damaged', 'why': 'line 3'}]}");
	char *out = print(j, status_print_all, 0);

	assert_string_equal(out,
		"LAB  STATE    SINCE  NODES  FROM\n"
		"x    damaged  -          -  -\n"
		"x: line 3\n");
	free(out);
	json_array_clear(json_object_get(j, "labs"));
	out = print(j, status_print_all, 0);
	assert_non_null(strstr(out, "no lab is up"));
	free(out);
	json_decref(j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sick),
		cmocka_unit_test(test_missing),
		cmocka_unit_test(test_all),
	};

	setenv("TZ", "UTC", 1);
	tzset();
	return cmocka_run_group_tests_name("lab/status", tests, NULL, NULL);
}
