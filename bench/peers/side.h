/* SPDX-License-Identifier: BSD-3-Clause */
/* side.h -- a socket between the two ranks that no measured library knows of */
#ifndef PEERS_SIDE_H
#define PEERS_SIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Rank 1 listens on the abstract name, rank 0 connects; bounded by 20 s. Messages keep their
 * boundaries. Errors: a negative errno.
 */
int side_open(const char *name, int rank, int *ret_fd);
int side_send(int fd, const void *data, size_t len);
/* Errors: -EAGAIN nothing there (only with wait == false), -EPIPE the other end is gone. */
int side_recv(int fd, void *data, size_t size, bool wait, size_t *ret_len);

#endif
