// What both forms of attention's backward start with (storage.cl comes first).
//
//     D[b, h, i] = sum over d of dy[b, i, h, d] y[b, i, h, d]
//
// y and dy are [batch, queries, heads, HEAD_DIMENSION], D is [batch, heads, queries] in float. Items: at least
// batch heads queries, any group.
__kernel void attention_backward_rows(__global float *products, __global const storage_t *dy,
                                      __global const storage_t *y, const int batch, const int heads,
                                      const int queries) {
  const int row = get_global_id(0);
  if (row >= batch * heads * queries) return;
  const int query = row % queries, head = row / queries % heads, sample = row / queries / heads;
  const size_t start = (((size_t)sample * queries + query) * heads + head) * HEAD_DIMENSION;
  float sum = 0.0f;
  for (int d = 0; d < HEAD_DIMENSION; ++d) sum = fma(LOAD(dy, start + d), LOAD(y, start + d), sum);
  products[row] = sum;
}
