/* A driver that refuses native XDP: BPF_LINK_CREATE (28) with XDP_FLAGS_DRV_MODE
 * (4) among the link's flags fails with FAKE_ERRNO. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/syscall.h>

long syscall(long number, ...)
{
	static long (*next)(long, ...);
	long arg[6];
	va_list list;

	va_start(list, number);
	for (int i = 0; i < 6; i++)
		arg[i] = va_arg(list, long);
	va_end(list);
	if (!next)
		next = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	if (number == SYS_bpf && arg[0] == 28 && (((unsigned *)arg[1])[3] & 4)) {
		errno = atoi(getenv("FAKE_ERRNO"));
		return -1;
	}
	return next(number, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
}
