#include "journal/frontier.h"

#include <string.h>

static int digit_of(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; }

bool frontier_read_hash(const char *hex, struct merkle_hash *ret_hash) {
    if (strlen(hex) != 2 * sizeof ret_hash->bytes) return false;
    for (size_t i = 0; i < sizeof ret_hash->bytes; i++) {
        int high = digit_of(hex[2 * i]), low = digit_of(hex[2 * i + 1]);
        if (high < 0 || low < 0) return false;
        ret_hash->bytes[i] = (unsigned char)(high * 16 + low);
    }
    return true;
}

bool frontier_read(const struct entry *segment, int64_t size, struct merkle_tree *ret_tree) {
    if (segment->n_frontier != merkle_frontier_length(size)) return false;
    struct merkle_tree tree = {.size = size};
    for (size_t i = 0; i < segment->n_frontier; i++)
        if (!frontier_read_hash(segment->frontier[i], &tree.frontier[i])) return false;
    *ret_tree = tree;
    return true;
}
