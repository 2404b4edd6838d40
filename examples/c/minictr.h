/* SPDX-License-Identifier: Apache-2.0
 *
 * minictr: an OCI runtime in C that leaves the root file system to librootfs.
 *
 * Where to begin: create.c is the parent's side of a container's birth, init.c the child's; sync.c is what they say to
 * each other. Everything else is one subject a file.
 *
 * One error type runs through it all, the library's struct rootfs_error: a function that can fail takes one, fills it
 * and returns -1. It is smaller than PIPE_BUF, so a child's error reaches its parent whole by one write.
 */
#ifndef MINICTR_H
#define MINICTR_H

#include <json-c/json.h>
#include <rootfs.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/types.h>

#define MINICTR_VERSION "0.1.0"
#define OCI_VERSION "1.0.2" /* what state documents and `spec` carry */

/* ---- log.c: errors and warnings, to stderr and to --log ---- */

/* Fills err (message: printf format, ": strerror" appended when errnum is not 0); always returns -1. */
int fail(struct rootfs_error *err, int code, int errnum, const char *operation, const char *format, ...)
	__attribute__((format(printf, 5, 6)));
#define fail_errno(err, operation, ...) fail(err, ROOTFS_ERR_SYSTEM, errno, operation, __VA_ARGS__)
/* As fail, for a field of a document: `pointer` (RFC 6901) leads the message. */
int fail_at(struct rootfs_error *err, const char *pointer, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

int log_open(const char *path, bool json, struct rootfs_error *err);
void log_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_error(const struct rootfs_error *err);

/* ---- json.c: typed access to a JSON document, with pointers in the errors ---- */

/* A place in a document. The chain of parents spells the JSON pointer, and only when an error needs it. */
struct node {
	struct json_object *value;
	const struct node *parent;
	const char *key; /* NULL: element `index` of an array */
	size_t index;
};

char *read_file(int dir, const char *path, size_t *len, struct rootfs_error *err);
/* From the byte at start to the one before end. */
struct span {
	size_t start, end;
};
/* Finds the array that is the value of a member of a document. What is not JSON may mislead it. */
bool json_find_array(const char *text, size_t len, const char *key, struct span *out);
/* `without`: an array that json_find_array found, to be read as if it were empty; or NULL. */
struct json_object *json_parse(const char *what, const char *text, size_t len, const struct span *without,
			       struct rootfs_error *err);
/* The getters return 1 (there), 0 (absent or null), -1 (of another type). What they give lives as long as the document. */
int node_get(const struct node *at, const char *key, enum json_type type, struct node *out, struct rootfs_error *err);
int node_item(const struct node *at, size_t index, enum json_type type, struct node *out, struct rootfs_error *err);
int node_string(const struct node *at, const char *key, const char **out, struct rootfs_error *err);
int node_bool(const struct node *at, const char *key, bool *out, struct rootfs_error *err);
int node_int(const struct node *at, const char *key, int64_t min, int64_t max, int64_t *out, struct rootfs_error *err);
int node_u64(const struct node *at, const char *key, uint64_t *out, struct rootfs_error *err);
/* A NULL-terminated array of strings, allocated; *out NULL when absent. */
int node_strings(const struct node *at, const char *key, char ***out, struct rootfs_error *err);
int node_fail(const struct node *at, struct rootfs_error *err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
size_t node_length(const struct node *array);

/* ---- config.c, process.c: what config.json asks of the runtime ---- */

enum ns_kind { NS_USER, NS_PID, NS_MOUNT, NS_NETWORK, NS_IPC, NS_UTS, NS_CGROUP, NS_TIME, NS_KINDS };

struct ns_type {
	const char *name; /* in config.json */
	const char *proc; /* below /proc/PID/ns */
	uint64_t flag;    /* CLONE_NEW* */
};
extern const struct ns_type ns_types[NS_KINDS];

struct ns_want {
	bool present;
	const char *path; /* join this one; NULL: a new one */
};

struct id_map {
	uint32_t container, host, size;
};

struct rlimit_want {
	int resource;
	struct rlimit limit;
};

enum cap_set { CAPS_BOUNDING, CAPS_EFFECTIVE, CAPS_INHERITABLE, CAPS_PERMITTED, CAPS_AMBIENT, CAP_SETS };

/* `process` of config.json, or of the file given to `exec --process`. */
struct process {
	char **args, **env;
	const char *cwd;
	uint32_t uid, gid, umask;
	bool has_umask;
	gid_t *groups;
	size_t groups_len;
	uint64_t caps[CAP_SETS];
	struct rlimit_want *rlimits;
	size_t rlimits_len;
	bool terminal, no_new_privs, has_oom_score;
	int oom_score_adj;
	uint16_t rows, columns;
	const char *apparmor, *selinux;
	int io_class, io_priority; /* class 0: not asked for */
};

struct config {
	char *text; /* config.json as it was when the container was created */
	size_t len;
	struct node json;
	bool has_process;
	struct process process;
	const char *hostname, *domainname, *rootfs, *cgroup_path;
	struct ns_want ns[NS_KINDS];
	struct id_map *uid_map, *gid_map;
	size_t uid_map_len, gid_map_len;
	char *time_offsets; /* text for /proc/PID/timens_offsets, or NULL */
	struct node linux_, hooks, annotations, resources, seccomp;
	bool has_linux, has_hooks, has_annotations, has_resources, has_seccomp;
	bool has_id_mapped_mount, has_binds;
};

int config_load(struct config *config, int dir, const char *path, struct rootfs_error *err);
int process_parse(const struct node *at, struct process *out, struct rootfs_error *err);
bool config_new_ns(const struct config *config, enum ns_kind kind); /* present, and not joined by path */

/* ---- container.c: a container's directory below --root, and its state ---- */

enum cgroup_manager { CGROUP_FS, CGROUP_DISABLED };

struct options {
	const char *root;
	enum cgroup_manager cgroup_manager;
};

struct container {
	const struct options *options;
	const char *id;
	char *bundle;                  /* absolute */
	int dir;                       /* <root>/<id> */
	pid_t pid;                     /* as the runtime sees it; 0 while there is none */
	unsigned long long start_time; /* of pid, in clock ticks after boot: tells it from a later process of that number */
	uint64_t created;              /* nanoseconds since 1970 */
	char *cgroup;                  /* path inside each hierarchy, or NULL */
	struct config config;
};

enum status { STATUS_CREATING, STATUS_CREATED, STATUS_RUNNING, STATUS_STOPPED, STATUS_PAUSED };
extern const char *const status_names[];

int container_make(struct container *c, struct rootfs_error *err);       /* fails when the id is taken */
int container_open(struct container *c, struct rootfs_error *err);       /* reads state.json, not the config */
int container_load_config(struct container *c, struct rootfs_error *err); /* the copy made at create */
int container_save(struct container *c, struct rootfs_error *err);
void container_remove(struct container *c);
enum status container_status(const struct container *c);
/* The OCI state document, allocated. */
char *container_state(const struct container *c, enum status status, struct rootfs_error *err);
bool process_never_ran(pid_t pid); /* cloned, and ended or still there without an execve */
unsigned long long process_start_time(pid_t pid, char *state); /* 0: no such process */
/* Sends a signal to the very process that was created, never to another that got its number. */
int container_signal(const struct container *c, int signal, struct rootfs_error *err);

/* ---- sync.c: what parent and child say to each other ---- */

enum message {
	MSG_ERROR = 1,    /* child: a struct rootfs_error follows */
	MSG_PID,          /* helper: value is the pid of the process it made */
	MSG_PLACED,       /* parent: ids are mapped, the cgroup is joined; value is how many mount sources follow */
	MSG_SOURCES,      /* parent: some mount sources, with their descriptors */
	MSG_MOUNTS_READY, /* child: time for prestart and createRuntime hooks */
	MSG_CONTINUE,     /* parent: done, go on */
	MSG_LIMITS,       /* child: set my limits, which I may not */
	MSG_TERMINAL,     /* child: the terminal's master comes along */
	MSG_CREATED,      /* child: all is set up */
};

int sync_pair(int pair[2], struct rootfs_error *err);
int sync_send(int sock, enum message type, uint32_t value, struct rootfs_error *err);
int sync_send_fds(int sock, enum message type, const void *data, size_t len, const int *fds, size_t fds_len,
		  struct rootfs_error *err);
void sync_send_error(int sock, const struct rootfs_error *error);
/* 1: a message; 0: the peer has closed (for a child: by execve, or by death); -1: an error, the peer's own included.
 * fds may be NULL; otherwise it has room for *fds_len. */
int sync_receive(int sock, enum message *type, uint32_t *value, void *data, size_t *len, int *fds, size_t *fds_len,
		 struct rootfs_error *err);
/* Waits for just this message; closing is an error. */
int sync_expect(int sock, enum message type, uint32_t *value, struct rootfs_error *err);
int unix_connect(int dir, const char *path, struct rootfs_error *err);
int unix_listen(int dir, const char *name, struct rootfs_error *err);

/* ---- namespaces.c, spawn.c ---- */

int namespaces_check(struct config *config, struct rootfs_error *err);
uint64_t namespaces_new_flags(const struct config *config);
int namespaces_join(const struct config *config, uint64_t which, struct rootfs_error *err);
int namespaces_map_ids(pid_t child, const struct config *config, struct rootfs_error *err);
int namespaces_time_offsets(const struct config *config, struct rootfs_error *err);
int namespaces_become_root(struct rootfs_error *err);
int network_loopback_up(struct rootfs_error *err);
bool in_initial_user_namespace(void);

pid_t spawn_child(uint64_t flags);
/* Makes a process by way of a helper that runs enter(arg) and then clones its sibling. In the new process: 0. */
pid_t spawn_through(int (*enter)(void *, struct rootfs_error *), void *arg, uint64_t flags, struct rootfs_error *err);

/* ---- identity.c, capabilities.c, seccomp.c: what a process becomes before execve ---- */

struct bpf {
	void *code;
	size_t len;
	unsigned flags;
};

int seccomp_compile(const struct config *config, struct bpf *out, struct rootfs_error *err);
int seccomp_install(const struct bpf *bpf, struct rootfs_error *err);

/* Labels are written through the host's /proc (a descriptor of it), opened while that is the one to be seen.
 * -1: none is asked for; -2: an error. */
int labels_open(const struct process *p, int proc, struct rootfs_error *err);
int identity_rlimits(pid_t pid, const struct process *p, struct rootfs_error *err);
int identity_apply(const struct process *p, const struct bpf *bpf, int label, struct rootfs_error *err);
void stdio_own(const struct process *p);
void environment_complete(struct process *p);
char *executable_find(const struct process *p, struct rootfs_error *err);
void executable_run(const char *path, const struct process *p, struct rootfs_error *err);
int capabilities_parse(const struct node *at, uint64_t caps[CAP_SETS], struct rootfs_error *err);
int capabilities_bound(const uint64_t caps[CAP_SETS], struct rootfs_error *err);
int capabilities_set(const uint64_t caps[CAP_SETS], struct rootfs_error *err);
void signals_reset(void);

/* ---- cgroup.c ---- */

int cgroup_create(struct container *c, struct rootfs_error *err);
int cgroup_join(const struct container *c, pid_t pid, struct rootfs_error *err);
int cgroup_limit(const struct container *c, struct rootfs_error *err);
int cgroup_kill(const struct container *c, int signal, struct rootfs_error *err);
int cgroup_processes(const struct container *c, pid_t **pids, size_t *len, struct rootfs_error *err);
void cgroup_remove(const struct container *c);
int cgroup_freeze(const struct container *c, bool freeze, struct rootfs_error *err);
bool cgroup_frozen(const struct container *c);
char *cgroup_v2_path(const struct container *c); /* on the host's file system, allocated, or NULL */

/* ---- hooks.c ---- */

int hooks_check(const struct config *config, struct rootfs_error *err);
bool hooks_any(const struct config *config, const char *point);
/* Runs the hooks of one point in order; the first failure ends it. */
int hooks_run(const struct container *c, const char *point, enum status status, struct rootfs_error *err);

/* ---- terminal.c ---- */

int terminal_open(const struct process *p, int *master, struct rootfs_error *err); /* exec: a pty of the container's */
int terminal_take(int master, const struct process *p, struct rootfs_error *err); /* as 0, 1, 2; after setsid */
int terminal_send(int console_socket, int master, struct rootfs_error *err);

/* ---- wait.c: a foreground container ---- */

void signals_block(sigset_t *old);
int wait_for(pid_t pid, int master); /* relays signals and the terminal; the exit status as a shell gives it */

/* ---- init.c, create.c, exec.c: the birth of a process ---- */

struct birth {
	struct container *container;
	struct bpf seccomp;
	int sync;           /* child's end */
	int start;          /* create: listening socket on which `start` is awaited; -1 for run */
	int console_socket; /* -1: the terminal goes to the parent */
	int preserve_fds;
	bool no_pivot, rootless, new_keyring;
	bool place;          /* wait for MSG_PLACED */
	bool late_cgroup_ns; /* unshared after the cgroup is joined, which becomes its root */
};

__attribute__((noreturn)) void init_main(struct birth *b);

/* ---- commands: each gets its own argv, and returns the exit status ---- */

int command_create(const struct options *o, int argc, char **argv);
int command_run(const struct options *o, int argc, char **argv);
int command_start(const struct options *o, int argc, char **argv);
int command_state(const struct options *o, int argc, char **argv);
int command_kill(const struct options *o, int argc, char **argv);
int command_delete(const struct options *o, int argc, char **argv);
int command_exec(const struct options *o, int argc, char **argv);
int command_pause(const struct options *o, int argc, char **argv);
int command_resume(const struct options *o, int argc, char **argv);
int command_update(const struct options *o, int argc, char **argv);
int command_list(const struct options *o, int argc, char **argv);
int command_ps(const struct options *o, int argc, char **argv);
int command_spec(const struct options *o, int argc, char **argv);
int command_features(const struct options *o, int argc, char **argv);

/* engine.c: tells librootfs where its engine is. started_as is argv[0]. */
void engine_find(const char *started_as);
void keep_descriptors(int preserve); /* all but 0, 1, 2 and `preserve` more are closed by execve */
int write_pid_file(const char *path, pid_t pid, struct rootfs_error *err);
int write_text(int dir, const char *path, const char *text, struct rootfs_error *err);
void *allocate(size_t count, size_t size); /* zeroed; ends the process when there is no memory */
char *format_text(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
