// AdamW over the rows in training, in place, in PyTorch's order:
//
//   w <- w - rate decay w;  m <- m + (1 - beta1) (g - m);  v <- beta2 v + (1 - beta2) g^2
//   w <- w - step_size m / (sqrt(v) / correction + epsilon)
//
// w, m, v, g [count], float; step_size = rate / (1 - beta1^t), correction = sqrt(1 - beta2^t), from the host in double.

__kernel __attribute__((reqd_work_group_size(256, 1, 1))) void adamw_update(
    __global float *w, __global float *m, __global float *v, __global const float *g, float kept, float one_minus_beta1,
    float beta2, float one_minus_beta2, float step_size, float correction, float epsilon, int count) {
  int i = get_global_id(0);
  if (i >= count) return;
  float gradient = g[i];
  float first = m[i] + one_minus_beta1 * (gradient - m[i]);
  float second = beta2 * v[i] + one_minus_beta2 * gradient * gradient;
  m[i] = first;
  v[i] = second;
  w[i] = kept * w[i] - step_size * first / (sqrt(second) / correction + epsilon);
}
