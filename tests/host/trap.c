/* A library whose constructor leaves a mark: what must not be loaded. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

__attribute__((constructor)) static void mark(void)
{
	const char *path = getenv("HOST_TRAP_MARK");

	if (path)
		close(open(path, O_CREAT | O_WRONLY, 0644));
}
