/* The tree that a segment entry says stands before it. */
#ifndef LAPSED_JOURNAL_FRONTIER_H
#define LAPSED_JOURNAL_FRONTIER_H

#include "journal/entry.h"
#include "journal/merkle.h"

/* 64 hex digits in lower case. */
bool frontier_read_hash(const char *hex, struct merkle_hash *ret_hash);
/* False if its frontier cannot be that of a tree of `size` leaves. */
bool frontier_read(const struct entry *segment, int64_t size, struct merkle_tree *ret_tree);

#endif
