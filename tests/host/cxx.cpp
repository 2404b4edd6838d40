// The header from C++, and a host that uses exceptions around the library (never through it).
#include <cstring>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "host.h"

namespace {

struct Failure : std::runtime_error {
	explicit Failure(const rootfs_error &e) : std::runtime_error(e.message), code(e.code) {}
	int code;
};

int remember(void *user)
{
	try {
		static_cast<std::vector<std::string> *>(user)->push_back("ready");
		throw std::runtime_error("kept inside");
	} catch (const std::exception &e) {
		static_cast<std::vector<std::string> *>(user)->push_back(e.what());
	}
	return 0;
}

void set_up(const rootfs_request &request)
{
	rootfs_error e = ROOTFS_ERROR_INIT;
	if (rootfs_prepare(&request, &e) || rootfs_finalize(&e))
		throw Failure(e);
}

void exceptions()
{
	rootfs_request request = ROOTFS_REQUEST_INIT;
	std::vector<std::string> said;

	need_root();
	own_mounts();
	request.config = "{}";
	request.config_len = 2;
	try {
		set_up(request);
		CHECK(false, "an empty config was set up");
	} catch (const Failure &f) {
		CHECK(f.code == ROOTFS_ERR_INVALID, "%d: %s", f.code, f.what());
	}
	small_request(&request);
	request.on_mounts_ready = remember;
	request.user = &said;
	try {
		set_up(request);
	} catch (const Failure &f) {
		CHECK(false, "%s", f.what());
	}
	CHECK(said.size() == 2 && said[1] == "kept inside", "%zu", said.size());
	try {
		throw std::bad_alloc(); // the unwinder still works in a process with a Go runtime
	} catch (const std::bad_alloc &) {
		return;
	}
}

} // namespace

extern "C" const test_case cxx_cases[] = {
	{ "c++: a host with exceptions", exceptions },
	{ nullptr, nullptr },
};
