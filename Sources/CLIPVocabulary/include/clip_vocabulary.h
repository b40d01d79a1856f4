// CLIP's byte-pair merges, embedded in the binary.
#ifndef TI_GPU_CLIP_VOCABULARY_H
#define TI_GPU_CLIP_VOCABULARY_H

#include <stddef.h>

// merges.txt: UTF-8, a line that names the version, then a pair of pieces a line; not terminated by zero.
const char *clip_merges(size_t *length);

#endif
