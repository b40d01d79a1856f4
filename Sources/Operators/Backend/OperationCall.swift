import Tensors

/// What a backend is asked to do: an operation in one direction, and what it is given, without the numbers.
///
/// There is one for each requirement of the `Backend` protocols, beside the operation. It states the contract: `results` says what
/// comes of tensors that fit, and throws where one does not. Backends take for granted what is stated here, `Checked` sees to it.
public protocol OperationCall: Sendable, Hashable {
  /// Such as `Linear.forward`: what errors name.
  static var name: StaticString { get }
  static var pass: OperationPass { get }

  /// The tensors that are made.
  ///
  /// - Throws: `invalidShape` where what is given does not fit the operation, `unsupported` where the operation has no such pass.
  func results() throws(OperationError) -> [TensorDescriptor]
}

/// Which way through a model an operation is on.
public enum OperationPass: String, Sendable, Hashable {
  case forward
  case backward
  /// Transfers and sums: either way, as what goes before them.
  case either
  /// None: what is done once, when a model is built.
  case loading
}

extension OperationCall {
  func require(_ condition: Bool, _ message: @autoclosure () -> String) throws(OperationError) {
    try Operators.require(condition, Self.name, message())
  }

  /// What a forward pass made, which backward has to fit; what is wrong there is said in the name of this call.
  func results(of forward: some OperationCall) throws(OperationError) -> [TensorDescriptor] {
    do throws(OperationError) { return try forward.results() } catch {
      throw OperationError(error.code, "\(Self.name)", error.message)
    }
  }

  /// Throws unless the tensor, where there is one, is as `expected`.
  func require(_ tensor: TensorDescriptor?, _ what: StaticString, is expected: TensorDescriptor) throws(OperationError)
  {
    guard let tensor else { return }
    try require(tensor == expected, "\(what) is \(tensor), not \(expected)")
  }

  /// Throws unless the weights are of `shape`, and packed for `direction` and numbers of `type`.
  func require(
    _ weights: WeightsDescriptor, of shape: Shape, for direction: Directions, type: ElementType
  ) throws(OperationError) {
    guard weights.directions.contains(direction) else {
      throw OperationError(.unsupported, "\(Self.name)", "the weights were not packed for this direction")
    }
    try require(
      weights.shape == shape && weights.type == type,
      "weights of \(weights.shape) for \(weights.type.rawValue), not of \(shape) for \(type.rawValue)")
  }
}

/// Frozen weights as a backend packed them, which says what they were packed from and for.
public protocol LayerWeights: Sendable {
  var descriptor: WeightsDescriptor { get }
}

/// What packed weights are.
public struct WeightsDescriptor: Sendable, Hashable {
  /// As PyTorch stores them.
  public let shape: Shape
  /// Of the activations that they are multiplied with.
  public let type: ElementType
  public let directions: Directions

  public init(shape: Shape, type: ElementType, directions: Directions) {
    self.shape = shape
    self.type = type
    self.directions = directions
  }
}

/// A tensor on its way to the device.
public struct UploadCall: OperationCall {
  public static let name: StaticString = "upload"
  public static let pass = OperationPass.either
  public let tensor: TensorDescriptor

  public func results() -> [TensorDescriptor] { [tensor] }
}

/// A tensor on its way back. What is made is the program's, so nothing on the device is.
public struct DownloadCall: OperationCall {
  public static let name: StaticString = "download"
  public static let pass = OperationPass.either
  public let tensor: TensorDescriptor

  public func results() -> [TensorDescriptor] { [] }
}
