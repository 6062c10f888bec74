/* SPDX-License-Identifier: BSD-3-Clause */
/* host.h -- which host this process is on */
#ifndef RUNTIME_HOST_H
#define RUNTIME_HOST_H

#include <stdint.h>

#define HOST_NAME_SIZE 16

/*
 * Equal for processes that reach each other through shared memory and abstract sockets: same boot
 * id and network namespace. node: what FARBUS_NODE says instead, "" for nothing.
 * Threads: any thread.
 */
void host_name(const char *node, uint8_t ret_name[HOST_NAME_SIZE]);

#endif
