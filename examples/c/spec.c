/* SPDX-License-Identifier: Apache-2.0
 *
 * `spec`: a config.json to begin with, the same as runc's, so that bundles made with either run under both.
 */
#include "minictr.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <string.h>
#include <unistd.h>

static const char process_and_root[] =
	"{\"ociVersion\":\"" OCI_VERSION "\",\"process\":{\"terminal\":true,\"user\":{\"uid\":0,\"gid\":0},"
	"\"args\":[\"sh\"],\"env\":[\"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\","
	"\"TERM=xterm\"],\"cwd\":\"/\",\"capabilities\":{"
	"\"bounding\":[\"CAP_AUDIT_WRITE\",\"CAP_KILL\",\"CAP_NET_BIND_SERVICE\"],"
	"\"effective\":[\"CAP_AUDIT_WRITE\",\"CAP_KILL\",\"CAP_NET_BIND_SERVICE\"],"
	"\"permitted\":[\"CAP_AUDIT_WRITE\",\"CAP_KILL\",\"CAP_NET_BIND_SERVICE\"]},"
	"\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"hard\":1024,\"soft\":1024}],\"noNewPrivileges\":true},"
	"\"root\":{\"path\":\"rootfs\",\"readonly\":true},\"hostname\":\"minictr\",";

static const char mounts[] =
	"\"mounts\":[{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"},"
	"{\"destination\":\"/dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\","
	"\"options\":[\"nosuid\",\"strictatime\",\"mode=755\",\"size=65536k\"]},"
	"{\"destination\":\"/dev/pts\",\"type\":\"devpts\",\"source\":\"devpts\","
	"\"options\":[\"nosuid\",\"noexec\",\"newinstance\",\"ptmxmode=0666\",\"mode=0620\"%s]},"
	"{\"destination\":\"/dev/shm\",\"type\":\"tmpfs\",\"source\":\"shm\","
	"\"options\":[\"nosuid\",\"noexec\",\"nodev\",\"mode=1777\",\"size=65536k\"]},"
	"{\"destination\":\"/dev/mqueue\",\"type\":\"mqueue\",\"source\":\"mqueue\","
	"\"options\":[\"nosuid\",\"noexec\",\"nodev\"]},%s],";

static const char sys_new[] =
	"{\"destination\":\"/sys\",\"type\":\"sysfs\",\"source\":\"sysfs\","
	"\"options\":[\"nosuid\",\"noexec\",\"nodev\",\"ro\"]},"
	"{\"destination\":\"/sys/fs/cgroup\",\"type\":\"cgroup\",\"source\":\"cgroup\","
	"\"options\":[\"nosuid\",\"noexec\",\"nodev\",\"relatime\",\"ro\"]}";
/* An ordinary user shares the host's network, and sysfs belongs to a network namespace: it can only be bound. */
static const char sys_bound[] =
	"{\"destination\":\"/sys\",\"type\":\"none\",\"source\":\"/sys\","
	"\"options\":[\"rbind\",\"nosuid\",\"noexec\",\"nodev\",\"ro\"]}";

static const char isolation[] =
	"\"linux\":{%s\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"ipc\"},{\"type\":\"uts\"},{\"type\":\"mount\"}%s],"
	"\"maskedPaths\":[\"/proc/acpi\",\"/proc/asound\",\"/proc/kcore\",\"/proc/keys\",\"/proc/latency_stats\","
	"\"/proc/timer_list\",\"/proc/timer_stats\",\"/proc/sched_debug\",\"/sys/firmware\",\"/proc/scsi\"],"
	"\"readonlyPaths\":[\"/proc/bus\",\"/proc/fs\",\"/proc/irq\",\"/proc/sys\",\"/proc/sysrq-trigger\"]}}";

static char *default_config(bool rootless)
{
	char *maps = rootless ? format_text("\"uidMappings\":[{\"containerID\":0,\"hostID\":%u,\"size\":1}],"
					    "\"gidMappings\":[{\"containerID\":0,\"hostID\":%u,\"size\":1}],",
					    geteuid(), getegid()) :
				format_text("\"resources\":{\"devices\":[{\"allow\":false,\"access\":\"rwm\"}]},");
	char *middle = format_text(mounts, rootless ? "" : ",\"gid=5\"", rootless ? sys_bound : sys_new);
	char *end = format_text(isolation, maps, rootless ? ",{\"type\":\"user\"}" : ",{\"type\":\"network\"}");
	char *all = format_text("%s%s%s", process_and_root, middle, end);
	free(maps);
	free(middle);
	free(end);
	return all;
}

int command_spec(const struct options *o, int argc, char **argv)
{
	static const struct option options[] = {
		{"bundle", required_argument, NULL, 'b'}, {"rootless", no_argument, NULL, 'r'}, {0}};
	struct rootfs_error err = ROOTFS_ERROR_INIT;
	const char *bundle = ".";
	bool rootless = false;
	(void)o;
	for (int c; (c = getopt_long(argc, argv, "+b:", options, NULL)) != -1;) {
		if (c == 'b')
			bundle = optarg;
		else if (c == 'r')
			rootless = true;
		else
			return 1;
	}
	char *text = default_config(rootless), *path = format_text("%s/config.json", bundle);
	struct json_object *json = json_parse("built-in config", text, strlen(text), NULL, &err);
	int fd = json != NULL ? open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666) : -1;
	if (json != NULL && fd < 0)
		fail_errno(&err, "open", "%s", path);
	if (fd >= 0 && json_object_to_fd(fd, json, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE) < 0)
		fail_errno(&err, "write", "%s", path);
	if (fd >= 0)
		close(fd);
	if (err.code != 0) {
		log_error(&err);
		return 1;
	}
	return 0;
}
