/*
 * Lets user-mode-linux run on processors with AMX.
 *
 * It keeps the floating-point state of its processes in buffers that are too small for AMX's tiles, and the
 * host's kernel takes back nothing but the whole state (ptrace(2), NT_X86_XSTATE). What is missing at the end
 * is in its initial state, since no process in the guest can ask for tiles: zeros are added.
 * Preloaded by `run` before linux.uml; other ptrace requests pass unchanged.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#ifndef NT_X86_XSTATE
#define NT_X86_XSTATE 0x202
#endif

/* The largest state that AMX makes is 11 kB. */
#define LARGEST (64 * 1024)

long ptrace(enum __ptrace_request request, ...)
{
	static long (*real)(enum __ptrace_request, pid_t, void *, void *);
	static size_t whole;
	/* Not on the stack: that of the guest's kernel has a few kB. It has one thread. */
	static char state[LARGEST];
	struct iovec *given, all = { state, sizeof state };
	va_list arguments;
	va_start(arguments, request);
	pid_t pid = va_arg(arguments, pid_t);
	void *address = va_arg(arguments, void *);
	void *data = va_arg(arguments, void *);
	va_end(arguments);

	if (!real)
		real = (long (*)(enum __ptrace_request, pid_t, void *, void *))dlsym(RTLD_NEXT, "ptrace");
	if (request != PTRACE_SETREGSET || address != (void *)NT_X86_XSTATE)
		return real(request, pid, address, data);
	if (!whole) {
		if (real(PTRACE_GETREGSET, pid, address, &all) < 0)
			return -1;
		whole = all.iov_len;
	}
	given = data;
	if (given->iov_len >= whole)
		return real(request, pid, address, data);
	memcpy(state, given->iov_base, given->iov_len);
	memset(state + given->iov_len, 0, whole - given->iov_len);
	all.iov_len = whole;
	return real(request, pid, address, &all);
}
