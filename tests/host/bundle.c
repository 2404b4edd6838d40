/* The small root that the cases set up. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host.h"

static const char config[] =
	"{ \"ociVersion\": \"1.2.0\", \"root\": { \"path\": \"%s/root\", \"readonly\": true },"
	"  \"process\": { \"cwd\": \"/work\", \"args\": [\"/probe\"], \"user\": { \"uid\": 0, \"gid\": 0, \"umask\": 23 } },"
	"  \"mounts\": ["
	"    { \"destination\": \"/proc\", \"type\": \"proc\", \"source\": \"proc\" },"
	"    { \"destination\": \"/dev\", \"type\": \"tmpfs\", \"source\": \"tmpfs\", \"options\": [\"nosuid\", \"mode=755\", \"size=64k\"] },"
	"    { \"destination\": \"/dev/pts\", \"type\": \"devpts\", \"source\": \"devpts\","
	"      \"options\": [\"nosuid\", \"noexec\", \"newinstance\", \"ptmxmode=0666\", \"mode=0620\"] },"
	"    { \"destination\": \"/data\", \"type\": \"bind\", \"source\": \"%s/data\", \"options\": [\"rbind\", \"ro\"] } ],"
	"  \"linux\": { \"namespaces\": [ { \"type\": \"mount\" } ], \"maskedPaths\": [\"/proc/keys\", \"/proc/sysrq-trigger\"],"
	"    \"readonlyPaths\": [\"/proc/sys\"] } }";

static void make_dir(const char *name)
{
	char path[4096];

	snprintf(path, sizeof path, "%s/%s", scratch, name);
	if (mkdir(path, 0755) && errno != EEXIST)
		check_failed(__FILE__, __LINE__, "mkdir %s: %s", path, strerror(errno));
}

void small_request(struct rootfs_request *request)
{
	static char text[8192];

	make_dir("root");
	make_dir("data");
	snprintf(text, sizeof text, config, scratch, scratch);
	*request = (struct rootfs_request)ROOTFS_REQUEST_INIT;
	request->config = text;
	request->config_len = strlen(text);
}

/* Some milliseconds of nothing but Go: a document that is right up to its last member. */
void long_request(struct rootfs_request *request)
{
	static char text[400000];
	int n = snprintf(text, sizeof text, "{ \"root\": { \"path\": \"%s/root\" }, \"mounts\": [", scratch);

	for (int i = 0; i < 900; i++)
		n += snprintf(text + n, sizeof text - (size_t)n, "%s{ \"destination\": \"/m%d\", \"type\": \"tmpfs\", \"source\": \"tmpfs\","
			      " \"options\": [\"nosuid\", \"nodev\", \"mode=0755\", \"size=%dk\"] }", i ? "," : "", i, i + 4);
	snprintf(text + n, sizeof text - (size_t)n, "], \"linux\": { \"maskedPaths\": [ 5 ] } }");
	*request = (struct rootfs_request)ROOTFS_REQUEST_INIT;
	request->config = text;
	request->config_len = strlen(text);
}

void need_root(void)
{
	if (geteuid())
		skip("needs root");
}

void own_mounts(void)
{
	if (unshare(CLONE_NEWNS))
		skip("needs a mount namespace of its own: %s", strerror(errno));
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		check_failed(__FILE__, __LINE__, "make / private: %s", strerror(errno));
}
