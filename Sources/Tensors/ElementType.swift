/// How one number of a tensor is stored. Arithmetic is always done in 32-bit floats or wider.
public enum ElementType: String, Sendable, Hashable, Codable, CaseIterable {
  case float32 = "f32"
  case float16 = "f16"
  case bfloat16 = "bf16"

  /// Bytes one element takes.
  public var size: Int { self == .float32 ? 4 : 2 }
}
