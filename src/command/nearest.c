#include "command/nearest.h"

#include "base/text.h"

#include <stdint.h>
#include <string.h>

enum { MOST_LETTERS = 32 };

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* Letters to insert, delete, change or swap with their neighbour (optimal string alignment). */
static size_t distance(const char *a, const char *b) {
    size_t length_a = strlen(a), length_b = strlen(b);
    if (length_a > MOST_LETTERS || length_b > MOST_LETTERS) return SIZE_MAX;
    size_t rows[MOST_LETTERS + 1][MOST_LETTERS + 1];
    for (size_t i = 0; i <= length_a; i++) rows[i][0] = i;
    for (size_t j = 0; j <= length_b; j++) rows[0][j] = j;
    for (size_t i = 1; i <= length_a; i++) {
        for (size_t j = 1; j <= length_b; j++) {
            size_t changed = rows[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            rows[i][j] = least(changed, least(rows[i - 1][j], rows[i][j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                rows[i][j] = least(rows[i][j], rows[i - 2][j - 2] + 1);
        }
    }
    return rows[length_a][length_b];
}

const char *nearest_word(const char *word, const char *const *words, size_t n_words) {
    const char *nearest = NULL;
    size_t fewest = (strlen(word) + 1) / 2; /* fewer changes than half of its letters */
    if (!*word) return NULL;
    for (size_t i = 0; i < n_words; i++) {
        size_t changes = text_starts_with(words[i], word) ? 0 : distance(word, words[i]);
        if (changes < fewest) {
            fewest = changes;
            nearest = words[i];
        }
    }
    return nearest;
}
