// The functions of one number and their derivatives, over floats and float vectors. ACTIVATION says which one
// ACTIVATE(x) and ACTIVATION_GRADIENT(x) are: 0 none, 1 SiLU, 2 GELU, 3 GELU by tanh, 4 quick GELU.
//
// Arguments are used more than once: pass variables.

#ifndef ACTIVATION
#define ACTIVATION 0
#endif

#define SIGMOID(x) (1.0f / (1.0f + exp(-(x))))

// x s, s = sigmoid(x);  s (1 + x (1 - s))
#define SILU(x) ((x)*SIGMOID(x))
#define SILU_GRADIENT(x) (SIGMOID(x) * (1.0f + (x) / (1.0f + exp(x))))

// x Phi(x);  Phi(x) + x phi(x). The complementary error function keeps the left tail's digits.
#define GELU(x) (0.5f * (x)*erfc(-0.707106781186547524f * (x)))
#define GELU_GRADIENT(x) \
  (0.5f * erfc(-0.707106781186547524f * (x)) + 0.398942280401432678f * (x)*exp(-0.5f * (x) * (x)))

// x s(2 u), u = sqrt(2/pi) (x + 0.044715 x^3), for (1 + tanh(u)) / 2 = s(2 u);
// s + x s (1 - s) 2 sqrt(2/pi) (1 + 3 0.044715 x^2), s = s(2 u)
#define GELU_TANH_ARGUMENT(x) (1.59576912160573071f * (x) * (1.0f + 0.044715f * (x) * (x)))
#define GELU_TANH(x) ((x)*SIGMOID(GELU_TANH_ARGUMENT(x)))
#define GELU_TANH_GRADIENT(x)       \
  (SIGMOID(GELU_TANH_ARGUMENT(x)) * \
   (1.0f + (x) * (1.59576912160573071f + 0.214064448817800757f * (x) * (x)) / (1.0f + exp(GELU_TANH_ARGUMENT(x)))))

// x s(1.702 x)
#define QUICK_GELU(x) ((x)*SIGMOID(1.702f * (x)))
#define QUICK_GELU_GRADIENT(x) (SIGMOID(1.702f * (x)) * (1.0f + 1.702f * (x) / (1.0f + exp(1.702f * (x)))))

#if ACTIVATION == 1
#define ACTIVATE SILU
#define ACTIVATION_GRADIENT SILU_GRADIENT
#elif ACTIVATION == 2
#define ACTIVATE GELU
#define ACTIVATION_GRADIENT GELU_GRADIENT
#elif ACTIVATION == 3
#define ACTIVATE GELU_TANH
#define ACTIVATION_GRADIENT GELU_TANH_GRADIENT
#elif ACTIVATION == 4
#define ACTIVATE QUICK_GELU
#define ACTIVATION_GRADIENT QUICK_GELU_GRADIENT
#else
#define ACTIVATE(x) (x)
#define ACTIVATION_GRADIENT(x) 1.0f
#endif
