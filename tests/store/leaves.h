/* The evidence of the batches of a test: its laws, and which records the leaves are of. */
#ifndef LAPSED_TESTS_LEAVES_H
#define LAPSED_TESTS_LEAVES_H

#include "store/store.h"

#define LEAVES_KEY ((const unsigned char *)"evidence of tests: 32 bytes long")

/* Adds the batch's leaves to those of the pass; holds the laws: a leaf for each record and dependent unless it is a range,
 * ascending, and the root is theirs. */
void leaves_add(const struct batch *batch);
void leaves_clear(void);
/* The leaves since leaves_clear are those of these names (JSON arrays, NULL at the end) and no others. */
void leaves_expect(const char *const *names);
/* They are so many, and no two are the same. */
void leaves_expect_each_once(size_t count);

#endif
