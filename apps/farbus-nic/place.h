/* SPDX-License-Identifier: BSD-3-Clause */
/* place.h -- which core the device runs on */
#ifndef APPS_FARBUS_NIC_PLACE_H
#define APPS_FARBUS_NIC_PLACE_H

/*
 * Binds this thread, and memory it takes from now on to the same node. Threads: any thread.
 * Errors: -ENOENT there is no such core, -EACCES it is not one of ours, -ENOMEM.
 */
int place_on_core(int core);

#endif
