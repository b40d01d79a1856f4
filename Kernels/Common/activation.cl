// The functions of one number and their derivatives, over float, float4, float8 and float16. ACTIVATION says which one
// ACTIVATE(x) and ACTIVATION_GRADIENT(x) are: 0 none, 1 SiLU, 2 GELU, 3 GELU by tanh, 4 quick GELU.
//
// Each takes one exponential. Where a function needs both s = sigmoid(u) and 1 - s, both come from exp(-|u|), with all
// their digits:
//
//   silu, quick_gelu     x s(k x);  s (1 + k x (1 - s))                            k = 1, 1.702
//   gelu_tanh            x s(u), u = 2 sqrt(2/pi) (x + 0.044715 x^3), for (1 + tanh(u/2)) / 2 = s(u);  s (1 + x u' (1 - s))
//   gelu                 x Phi(x);  Phi(x) + x phi(x)
//
// Phi, the normal distribution's own: with z = |x| / sqrt(2) and t = 1 / (1 + 0.4 z), erfc(z) exp(z^2) / t is a
// polynomial in t to within 1e-8 of itself for all z up to 10 (fitted by least squares at 200 Chebyshev nodes, degree
// 9); a library's erfc is no closer in float and up to fifty times slower.

#ifndef ACTIVATION
#define ACTIVATION 0
#endif

#define DEFINE_ACTIVATIONS(T)                                                                                  \
  /* s = sigmoid(u), r = 1 - s */                                                                              \
  INLINED __attribute__((overloadable)) T sigmoid_pair(T u, T *r) {                                            \
    T e = exp(-fabs(u));                                                                                       \
    T larger = 1.0f / (1.0f + e);                                                                              \
    T smaller = e * larger;                                                                                    \
    *r = select(larger, smaller, u >= 0.0f);                                                                   \
    return select(smaller, larger, u >= 0.0f);                                                                 \
  }                                                                                                            \
  INLINED __attribute__((overloadable)) T scaled_silu(T x, float k) { return x / (1.0f + exp(-k * x)); }       \
  INLINED __attribute__((overloadable)) T scaled_silu_gradient(T x, float k) {                                 \
    T r;                                                                                                       \
    T s = sigmoid_pair(k * x, &r);                                                                             \
    return s * (1.0f + k * x * r);                                                                             \
  }                                                                                                            \
  INLINED __attribute__((overloadable)) T gelu_tanh(T x) {                                                     \
    return x / (1.0f + exp(-1.59576912160573071f * x * (1.0f + 0.044715f * x * x)));                           \
  }                                                                                                            \
  INLINED __attribute__((overloadable)) T gelu_tanh_gradient(T x) {                                            \
    T r;                                                                                                       \
    T s = sigmoid_pair(1.59576912160573071f * x * (1.0f + 0.044715f * x * x), &r);                             \
    return s * (1.0f + x * (1.59576912160573071f + 0.214064448817800757f * x * x) * r);                        \
  }                                                                                                            \
  /* e = exp(-x^2 / 2) */                                                                                      \
  INLINED __attribute__((overloadable)) T normal_distribution(T x, T e) {                                      \
    T t = 1.0f / (1.0f + 0.282842712474619010f * fabs(x));                                                     \
    T p = -0.03042989547f;                                                                                     \
    p = p * t + 0.2023711809f;                                                                                 \
    p = p * t - 0.508615628f;                                                                                  \
    p = p * t + 0.5598930673f;                                                                                 \
    p = p * t - 0.2941963139f;                                                                                 \
    p = p * t + 0.2770496603f;                                                                                 \
    p = p * t + 0.1280595342f;                                                                                 \
    p = p * t + 0.2152442393f;                                                                                 \
    p = p * t + 0.2249155033f;                                                                                 \
    p = p * t + 0.2257086578f;                                                                                 \
    T tail = 0.5f * p * t * e;                                                                                 \
    return select(tail, 1.0f - tail, x >= 0.0f);                                                               \
  }                                                                                                            \
  INLINED __attribute__((overloadable)) T gelu(T x) { return x * normal_distribution(x, exp(-0.5f * x * x)); } \
  INLINED __attribute__((overloadable)) T gelu_gradient(T x) {                                                 \
    T e = exp(-0.5f * x * x);                                                                                  \
    return normal_distribution(x, e) + 0.398942280401432678f * x * e;                                          \
  }

DEFINE_ACTIVATIONS(float)
DEFINE_ACTIVATIONS(float4)
DEFINE_ACTIVATIONS(float8)
DEFINE_ACTIVATIONS(float16)

#if ACTIVATION == 1
#define ACTIVATE(x) scaled_silu(x, 1.0f)
#define ACTIVATION_GRADIENT(x) scaled_silu_gradient(x, 1.0f)
#elif ACTIVATION == 2
#define ACTIVATE gelu
#define ACTIVATION_GRADIENT gelu_gradient
#elif ACTIVATION == 3
#define ACTIVATE gelu_tanh
#define ACTIVATION_GRADIENT gelu_tanh_gradient
#elif ACTIVATION == 4
#define ACTIVATE(x) scaled_silu(x, 1.702f)
#define ACTIVATION_GRADIENT(x) scaled_silu_gradient(x, 1.702f)
#else
#define ACTIVATE(x) (x)
#define ACTIVATION_GRADIENT(x) 1.0f
#endif
