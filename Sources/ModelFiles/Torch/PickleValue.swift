import Tensors

/// What a pickle says, as far as it says anything that tensors need.
package indirect enum PickleValue: Sendable {
  case none
  case flag(Bool)
  case integer(Int)
  case number(Double)
  case text(String)
  case bytes([UInt8])
  case tensor(PickledTensor)
  /// Lists, tuples and sets.
  case list([PickleValue])
  case dictionary([(key: PickleValue, value: PickleValue)])
  /// Something of a known kind that holds no tensor.
  case opaque(String)
}

/// A tensor as a pickle describes it: a view of a storage.
package struct PickledTensor: Sendable, Hashable {
  /// The storage's name in the file, how its elements are stored and how many there are.
  let storage: String
  let type: StoredType
  let storageCount: Int
  /// The view: its first element, and how far apart neighbours are along each axis.
  let offset: Int
  let dimensions: [Int]
  let strides: [Int]

  package var shape: Shape { Shape(dimensions) }
  /// How safetensors would call its element type, such as `F16`.
  package var typeName: String { type.rawValue }
}

/// The names that tensors need. Every other is refused: a pickle's names are how it would run somebody's code.
enum PickleName: Equatable {
  case orderedDictionary
  case rebuildTensor
  case rebuildParameter
  /// A container of parameters, which older embedding files have in place of a dictionary.
  case parameterDictionary
  case set
  case storage(StoredType)
  /// Known to stand in checkpoints beside the tensors, and of no use here.
  case ignored(String)

  init?(module: String, name: String) {
    guard let known = Self.table["\(module).\(name)"] else { return nil }
    self = known
  }

  private static let table: [String: PickleName] = {
    var table: [String: PickleName] = [
      "collections.OrderedDict": .orderedDictionary,
      "torch._utils._rebuild_tensor_v2": .rebuildTensor,
      "torch._utils._rebuild_tensor": .rebuildTensor,
      "torch._utils._rebuild_parameter": .rebuildParameter,
      "torch.nn.modules.container.ParameterDict": .parameterDictionary,
      "__builtin__.set": .set, "builtins.set": .set,
    ]
    for (name, type) in [
      ("Double", StoredType.float64), ("Float", .float32), ("Half", .float16), ("BFloat16", .bfloat16),
      ("Long", .int64),
      ("Int", .int32), ("Short", .int16), ("Char", .int8), ("Byte", .uint8), ("Bool", .boolean),
    ] {
      table["torch.\(name)Storage"] = .storage(type)
    }
    for name in [
      "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint", "numpy.core.multiarray.scalar",
      "numpy._core.multiarray.scalar", "numpy.dtype", "_codecs.encode", "torch.Size", "torch.device",
    ] {
      table[name] = .ignored(name)
    }
    return table
  }()
}
