/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: see options.h. */
#include "vmm/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/units.h"
#include "vmm/options_cpu.h"

const char vmm_usage[] =
	"usage: lanyard-vmm --name NODE --control PATH [--agent PATH]\n"
	"                   [--console PATH | --console-pty LINK | --console-stdio]\n"
	"                   [--console-log FILE] --kernel FILE [--initrd FILE] [--cmdline TEXT]\n"
	"                   --memory SIZE [--vcpus N[,sockets=N][,cores=N][,threads=N]]\n"
	"                   [--cpus LIST] [--cpu-without NAME[,NAME]...] [--hugepages auto|2M|1G|none]\n"
	"                   [--nic socket=PATH,mac=MAC[,queues=N][,mtu=N][,ring=N][,packed=on|off]\n"
	"                    [,offloads=on|off][,listen=on|off]]...\n"
	"                   [--nic tap=NAME,mac=MAC[,queues=N][,mtu=N][,ring=N][,offloads=on|off]]...\n"
	"                   [--disk file=PATH[,readonly=on][,serial=TEXT][,queues=N]]...\n"
	"                   [--disk socket=PATH[,queues=N]]... [--rng]\n"
	"                   [--fs socket=PATH,tag=TAG[,queues=N]]...\n"
	"                   [--vfio pci=ADDRESS[,vf_token=UUID]]...\n"
	"                   [--user NAME|own] [--sandbox on|off] [--log-level LEVEL]\n"
	"Runs one virtual machine. docs/control.md says what each is and what --control speaks.\n";

enum option_id {
	OPT_NAME = 256,
	OPT_CONTROL,
	OPT_AGENT,
	OPT_CONSOLE,
	OPT_CONSOLE_LOG,
	OPT_CONSOLE_PTY,
	OPT_CONSOLE_STDIO,
	OPT_USER,
	OPT_SANDBOX,
	OPT_KERNEL,
	OPT_INITRD,
	OPT_CMDLINE,
	OPT_MEMORY,
	OPT_VCPUS,
	OPT_CPUS,
	OPT_CPU_WITHOUT,
	OPT_HUGEPAGES,
	OPT_NIC,
	OPT_DISK,
	OPT_FS,
	OPT_RNG,
	OPT_VFIO,
	OPT_LOG_LEVEL,
	OPT_HELP,
	OPT_VERSION,
};

static const struct option long_options[] = {
	{ "name", required_argument, NULL, OPT_NAME },
	{ "control", required_argument, NULL, OPT_CONTROL },
	{ "agent", required_argument, NULL, OPT_AGENT },
	{ "console", required_argument, NULL, OPT_CONSOLE },
	{ "console-log", required_argument, NULL, OPT_CONSOLE_LOG },
	{ "console-pty", required_argument, NULL, OPT_CONSOLE_PTY },
	{ "user", required_argument, NULL, OPT_USER },
	{ "sandbox", required_argument, NULL, OPT_SANDBOX },
	{ "console-stdio", no_argument, NULL, OPT_CONSOLE_STDIO },
	{ "kernel", required_argument, NULL, OPT_KERNEL },
	{ "initrd", required_argument, NULL, OPT_INITRD },
	{ "cmdline", required_argument, NULL, OPT_CMDLINE },
	{ "memory", required_argument, NULL, OPT_MEMORY },
	{ "vcpus", required_argument, NULL, OPT_VCPUS },
	{ "cpus", required_argument, NULL, OPT_CPUS },
	{ "cpu-without", required_argument, NULL, OPT_CPU_WITHOUT },
	{ "hugepages", required_argument, NULL, OPT_HUGEPAGES },
	{ "nic", required_argument, NULL, OPT_NIC },
	{ "disk", required_argument, NULL, OPT_DISK },
	{ "fs", required_argument, NULL, OPT_FS },
	{ "rng", no_argument, NULL, OPT_RNG },
	{ "vfio", required_argument, NULL, OPT_VFIO },
	{ "log-level", required_argument, NULL, OPT_LOG_LEVEL },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ 0 },
};

/* A decimal number min..max, all of it. */
static int parse_number(const char *what, const char *s, unsigned long min, unsigned long max,
	unsigned *out, struct err *e)
{
	char *end;
	unsigned long v;

	errno = 0;
	v = strtoul(s, &end, 10);
	if (s[0] < '0' || s[0] > '9' || *end || errno || v < min || v > max)
		return err_request(e, -EINVAL, "%s is \"%s\", expected a number from %lu to %lu",
			what, s, min, max);
	*out = (unsigned)v;
	return 0;
}

static int parse_hugepages(struct vmm_options *o, const char *s, struct err *e)
{
	static const char *const names[] = {
		[GMEM_AUTO] = "auto", [GMEM_2M] = "2M", [GMEM_1G] = "1G", [GMEM_PLAIN] = "none"
	};

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(s, names[i]) != 0)
			continue;
		o->pages = (enum gmem_pages)i;
		return 0;
	}
	return err_request_at(
		e, -EINVAL, "hugepages", "--hugepages is \"%s\", expected auto, 2M, 1G or none", s);
}

static int parse_switch(const char *what, const char *s, bool *out, struct err *e)
{
	*out = !strcmp(s, "on");
	if (*out || !strcmp(s, "off"))
		return 0;
	return err_request(e, -EINVAL, "%s is \"%s\", expected on or off", what, s);
}

static int parse_nic_ring(const char *s, unsigned *out, struct err *e)
{
	int err = parse_number("--nic: ring", s, 64, VIRTIO_QUEUE_SIZE_MAX, out, e);

	if (!err && (*out & (*out - 1)))
		err = err_request(e, -EINVAL,
			"--nic: ring is %u, expected a power of two from 64 to %d", *out,
			VIRTIO_QUEUE_SIZE_MAX);
	return err;
}

/* One "key=value" of --nic. */
static int parse_nic_key(struct nic_setup *n, const char *key, const char *value, struct err *e)
{
	if (!strcmp(key, "socket")) {
		int err = fd_unix_path_check(value, e);

		if (err)
			return err;
		free(n->socket);
		n->socket = strdup(value);
		return n->socket ? 0 : err_set(e, -ENOMEM, "out of memory");
	}
	if (!strcmp(key, "tap")) {
		if (vhost_net_name_check(value, e))
			return err_prefix(e, "--nic");
		free(n->tap);
		n->tap = strdup(value);
		return n->tap ? 0 : err_set(e, -ENOMEM, "out of memory");
	}
	if (!strcmp(key, "mac")) {
		if (ether_mac_parse(value, &n->mac) || ether_mac_is_multicast(n->mac) ||
			ether_mac_is_zero(n->mac))
			return err_request(e, -EINVAL,
				"--nic: mac is \"%s\", expected a unicast address like "
				"02:00:00:00:00:01",
				value);
		return 0;
	}
	if (!strcmp(key, "queues"))
		return parse_number("--nic: queues", value, 1, NIC_QUEUES_MAX, &n->pairs, e);
	if (!strcmp(key, "mtu"))
		return parse_number("--nic: mtu", value, 68, 65535, &n->mtu, e);
	if (!strcmp(key, "ring"))
		return parse_nic_ring(value, &n->ring, e);
	if (!strcmp(key, "packed"))
		return parse_switch("--nic: packed", value, &n->packed, e);
	if (!strcmp(key, "offloads"))
		return parse_switch("--nic: offloads", value, &n->offloads, e);
	if (!strcmp(key, "listen"))
		return parse_switch("--nic: listen", value, &n->listen, e);
	return err_request(e, -EINVAL,
		"--nic: unknown key \"%s\", expected socket, tap, mac, queues, mtu, ring, packed, "
		"offloads or listen",
		key);
}

static int parse_nic(struct vmm_options *o, const char *s, struct err *e)
{
	struct nic_setup *n = &o->nics[o->n_nics];
	char *text, *save = NULL;
	int err = 0;

	if (o->n_nics == OPTIONS_NICS_MAX)
		return err_request(e, -E2BIG, "--nic: more than %d NICs", OPTIONS_NICS_MAX);
	text = strdup(s);
	if (!text)
		return err_set(e, -ENOMEM, "out of memory");
	o->n_nics++;
	n->pairs = 1;
	n->packed = n->offloads = true;
	for (char *p = strtok_r(text, ",", &save); p && !err; p = strtok_r(NULL, ",", &save)) {
		char *eq = strchr(p, '=');

		if (!eq) {
			err = err_request(e, -EINVAL, "--nic: \"%s\", expected key=value", p);
			break;
		}
		*eq = '\0';
		err = parse_nic_key(n, p, eq + 1, e);
	}
	if (!err && (!n->socket == !n->tap || ether_mac_is_zero(n->mac)))
		err = err_request(e, -EINVAL,
			"--nic %s: expected socket=PATH,mac=MAC, or tap=NAME,mac=MAC", s);
	if (!err && n->tap && n->listen)
		err = err_request(e, -EINVAL, "--nic %s: a tap listens on no socket", s);
	free(text);
	return err;
}

static int parse_disk(struct vmm_options *o, const char *s, struct err *e)
{
	if (o->n_disks == OPTIONS_DISKS_MAX)
		return err_request(e, -E2BIG, "--disk: more than %d disks", OPTIONS_DISKS_MAX);
	return disk_setup_parse(&o->disks[o->n_disks++], s, e);
}

static int parse_fs(struct vmm_options *o, const char *s, struct err *e)
{
	int err;

	if (o->n_fs == OPTIONS_FS_MAX)
		return err_request(e, -E2BIG, "--fs: more than %d folders", OPTIONS_FS_MAX);
	err = fs_setup_parse(&o->fs[o->n_fs++], s, e);
	for (unsigned i = 0; !err && i + 1 < o->n_fs; i++)
		if (!strcmp(o->fs[i].tag, o->fs[o->n_fs - 1].tag))
			return err_request(
				e, -EEXIST, "--fs: two folders have the tag \"%s\"", o->fs[i].tag);
	return err;
}

static int parse_vfio(struct vmm_options *o, const char *s, struct err *e)
{
	int err;

	if (o->n_vfio == OPTIONS_VFIO_MAX)
		return err_request(e, -E2BIG, "--vfio: more than %d devices", OPTIONS_VFIO_MAX);
	err = vfio_setup_parse(&o->vfio[o->n_vfio++], s, e);
	for (unsigned i = 0; !err && i + 1 < o->n_vfio; i++)
		if (!strcmp(o->vfio[i].pci, o->vfio[o->n_vfio - 1].pci))
			return err_request(e, -EEXIST, "--vfio: %s is named twice", o->vfio[i].pci);
	return err;
}

static int parse_one(struct vmm_options *o, int id, char *arg, struct err *e)
{
	switch (id) {
	case OPT_NAME:
		o->name = arg;
		return 0;
	case OPT_CONTROL:
		o->control = arg;
		return fd_unix_path_check(arg, e);
	case OPT_AGENT:
		o->agent = arg;
		return fd_unix_path_check(arg, e);
	case OPT_CONSOLE:
		o->console = arg;
		return fd_unix_path_check(arg, e);
	case OPT_CONSOLE_PTY:
		o->console_pty = arg;
		return 0;
	case OPT_USER:
		o->user = arg;
		return 0;
	case OPT_SANDBOX:
		o->sandbox = !strcmp(arg, "on");
		return o->sandbox || !strcmp(arg, "off")
			? 0
			: err_request(e, -EINVAL, "--sandbox is \"%s\", expected on or off", arg);
	case OPT_CONSOLE_STDIO:
		o->console_stdio = true;
		return 0;
	case OPT_CONSOLE_LOG:
		o->console_log = arg;
		return 0;
	case OPT_KERNEL:
		o->kernel = arg;
		return 0;
	case OPT_INITRD:
		o->initrd = arg;
		return 0;
	case OPT_CMDLINE:
		o->cmdline = arg;
		return 0;
	case OPT_MEMORY:
		return units_parse_size(arg, &o->memory, e) ? err_prefix(e, "--memory") : 0;
	case OPT_VCPUS:
		return options_parse_vcpus(o, arg, e);
	case OPT_CPUS:
		return options_parse_cpus(o, arg, e);
	case OPT_CPU_WITHOUT:
		return options_parse_cpu_without(o, arg, e);
	case OPT_HUGEPAGES:
		return parse_hugepages(o, arg, e);
	case OPT_NIC:
		return parse_nic(o, arg, e);
	case OPT_DISK:
		return parse_disk(o, arg, e);
	case OPT_FS:
		return parse_fs(o, arg, e);
	case OPT_RNG:
		o->rng = true;
		return 0;
	case OPT_VFIO:
		return parse_vfio(o, arg, e);
	case OPT_LOG_LEVEL:
		return log_level_parse(arg, &o->log_level)
			? err_request(e, -EINVAL,
				  "--log-level is \"%s\", expected error, warn, info or debug", arg)
			: 0;
	case OPT_HELP:
		o->help = true;
		return 0;
	case OPT_VERSION:
		o->version = true;
		return 0;
	default:
		return err_request(e, -EINVAL,
			"unknown option, or one without its value; --help "
			"lists them");
	}
}

int vmm_options_parse(struct vmm_options *o, int argc, char **argv, struct err *e)
{
	int id;

	*o = (struct vmm_options){ .cmdline = "",
		.vcpus = 1,
		.topology = { 1, 1, 1 },

		.log_level = LOG_INFO,
		.sandbox = true };
	optind = 0; /* getopt's state: start anew */
	opterr = 0;
	while ((id = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		const char *given = optind > 0 && optind <= argc ? argv[optind - 1] : "";
		int err = parse_one(o, id, optarg, e);

		if (err && id == '?')
			return err_prefix(e, "%s", given);
		if (err)
			return err;
	}
	if (o->help || o->version)
		return 0;
	if (optind < argc)
		return err_request(
			e, -EINVAL, "\"%s\" is no option; --help lists them", argv[optind]);
	const struct {
		const char *name;
		bool given;
	} needed[] = { { "--name", o->name }, { "--control", o->control },
		{ "--kernel", o->kernel } };

	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		if (!needed[i].given)
			return err_request(e, -EINVAL, "%s is missing; --help lists the options",
				needed[i].name);
	if (!!o->console + !!o->console_pty + o->console_stdio > 1)
		return err_request(e, -EINVAL,
			"--console, --console-pty and --console-stdio: one of them at most; "
			"--console-log goes with each");
	if (o->user && !o->sandbox)
		return err_request(e, -EINVAL, "--user and --sandbox off: one of them at most");
	if (!o->memory)
		return err_request(e, -EINVAL,
			"--memory is missing or 0: a guest needs some, say --memory 64M");
	if (o->n_cpus && o->n_cpus < o->vcpus)
		return err_request(e, -EINVAL,
			"--cpus names %u CPUs for %u vCPUs: name one each, or none", o->n_cpus,
			o->vcpus);
	return 0;
}

void vmm_options_free(struct vmm_options *o)
{
	for (unsigned i = 0; i < o->n_nics; i++) {
		free(o->nics[i].socket);
		free(o->nics[i].tap);
	}
	for (unsigned i = 0; i < o->n_disks; i++)
		disk_setup_free(&o->disks[i]);
	for (unsigned i = 0; i < o->n_fs; i++)
		fs_setup_free(&o->fs[i]);
	for (unsigned i = 0; i < o->n_vfio; i++)
		vfio_setup_free(&o->vfio[i]);
	o->n_nics = o->n_disks = o->n_fs = o->n_vfio = 0;
}
