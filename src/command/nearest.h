/* The word that somebody may have meant. */
#ifndef LAPSED_COMMAND_NEAREST_H
#define LAPSED_COMMAND_NEAREST_H

#include <stddef.h>

/* The one of `words` that `word` is most like: one that begins with it, else the one with the fewest letters changed,
 * if that is less than half of them. NULL: none is near. */
const char *nearest_word(const char *word, const char *const *words, size_t n_words);

#endif
