// What both forms of attention share: constants, places, and what backward starts with.

#ifndef HEAD_DIMENSION
#define HEAD_DIMENSION 40  // channels of a head, 1 to 512
#endif

// Where the highest score starts, and what a masked one is: not infinity, for two of those have no difference.
#define LOWEST_SCORE -1e30f
#define LOG2_E 1.44269504f
#define LN_2 0.693147181f

// Where the head of group (.., batch heads) begins in a tensor of `tokens` rows, [batch, tokens, heads,
// HEAD_DIMENSION].
INLINED size_t head_start(int heads, int tokens) {
  size_t sample = get_group_id(1) / heads, head = get_group_id(1) % heads;
  return (sample * tokens * heads + head) * HEAD_DIMENSION;
}

// D[b, h, i] = sum over d of dy[b, i, h, d] y[b, i, h, d]
//
// y and dy are [batch, queries, heads, HEAD_DIMENSION], D is [batch, heads, queries] in float. Items: batch heads
// queries or more.
__kernel void attention_row_products(__global float *products, __global const storage_t *dy,
                                     __global const storage_t *y, int batch, int heads, int queries) {
  int row = get_global_id(0);
  if (row >= batch * heads * queries) return;
  int query = row % queries, head = row / queries % heads, sample = row / queries / heads;
  size_t start = (((size_t)sample * queries + query) * heads + head) * HEAD_DIMENSION;
  float sum = 0.0f;
  for (int d = 0; d < HEAD_DIMENSION; ++d) sum = fma(LOAD(dy, start + d), LOAD(y, start + d), sum);
  products[row] = sum;
}
