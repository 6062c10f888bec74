/* SPDX-License-Identifier: BSD-3-Clause */
/* open.h -- between open.c and verbs.c: what the transport's descriptors are */
#ifndef TRANSPORT_VERBS_OPEN_H
#define TRANSPORT_VERBS_OPEN_H

#include "transport/transport.h"

enum watch_kind { WATCH_CQ, WATCH_CM, WATCH_DEVICE, WATCH_TIMER, WATCH_WAKE };

int verbs_open(const char *where, struct transport **ret_transport);
int verbs_probe(char *ret_reason, size_t size);
/* Takes a half-built one. What is under way is not told of any more. */
void verbs_free(struct transport *transport);

#endif
