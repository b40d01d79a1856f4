#include "clip_vocabulary.h"

static const char merges[] = {
#embed "merges.txt"
};

const char *clip_merges(size_t *length) {
  *length = sizeof merges;
  return merges;
}
