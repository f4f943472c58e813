/* What a fuzzer does, in small and the same each time, for `make check`: each seed as it is, and some copies of it with bytes
 * changed, taken out and put in. usage: fuzz_NAME FOLDER... */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length);

enum { COPIES = 60, MOST_BYTES = 1 << 20 };

static uint64_t random_state = 1;

static uint64_t random_below(uint64_t bound) { /* xorshift64 */
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % bound;
}

static size_t change(uint8_t *to, const uint8_t *from, size_t length) {
    memcpy(to, from, length);
    for (uint64_t n = random_below(3) + 1; n && length; n--) {
        size_t at = random_below(length);
        switch (random_below(4)) {
        case 0: to[at] ^= (uint8_t)(1 << random_below(8)); break;
        case 1: to[at] = (uint8_t)random_below(256); break;
        case 2: memmove(to + at, to + at + 1, --length - at); break;
        default: length = random_below(4) ? length : at; break;
        }
    }
    return length;
}

static int replay(const char *folder, const char *name) {
    static uint8_t seed[MOST_BYTES];
    char path[1000];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rbe");
    if (!file) {
        perror(path);
        return -1;
    }
    size_t length = fread(seed, 1, sizeof seed, file);
    (void)fclose(file);
    uint8_t *copy = malloc(length + 1);
    if (!copy) abort();
    (void)LLVMFuzzerTestOneInput(seed, length);
    for (int i = 0; i < COPIES; i++) (void)LLVMFuzzerTestOneInput(copy, change(copy, seed, length));
    free(copy);
    return 0;
}

int main(int argc, char **argv) {
    int seeds = 0;
    for (int i = 1; i < argc; i++) {
        DIR *dir = opendir(argv[i]);
        for (const struct dirent *item; dir && (item = readdir(dir));) {
            if (item->d_name[0] == '.') continue;
            if (replay(argv[i], item->d_name)) return EXIT_FAILURE;
            seeds++;
        }
        if (dir) (void)closedir(dir);
    }
    (void)printf("%s: %d seeds\n", argv[0], seeds);
    return seeds ? EXIT_SUCCESS : EXIT_FAILURE;
}
