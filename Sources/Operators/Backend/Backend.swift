import Tensors

/// What every backend offers whatever it computes: storage for tensors, and the way in and out.
///
/// Work is queued in order: an operation may return before it has run, `download` and `synchronize` wait.
/// A backend is driven by one thread at a time, so it is not `Sendable`; its tensors are, and may be let go anywhere.
public protocol StorageBackend: AnyObject {
  /// A piece of the backend's memory. It goes back to the pool when its last reference goes.
  associatedtype Storage: Sendable

  /// What a person calls the device, such as "AMD Radeon RX 6700 XT (rusticl, gpu kernels)" or
  /// "CPU (AMD EPYC 7763 64-Core Processor, AVX2, 2 threads)".
  var name: String { get }

  /// How activations and packed weights are stored. Statistics, embedding rows and losses are always `float32`.
  var precision: ElementType { get }

  /// Copies `tensor` to the device, rounding to nearest even where `type` is a 16-bit type.
  func upload(_ tensor: HostTensor, as type: ElementType) throws(OperationError) -> Tensor<Storage>

  /// Waits for the work that makes `tensor`, and copies it back.
  func download(_ tensor: Tensor<Storage>) throws(OperationError) -> HostTensor

  /// Waits for all queued work.
  func synchronize() throws(OperationError)

  /// The pool's memory now and at its highest.
  var memory: MemoryUse { get }
}

/// Bytes of device memory held by tensors and packed weights, and how many there can be.
public struct MemoryUse: Sendable, Hashable {
  public let currentBytes: Int
  public let peakBytes: Int
  /// The most that was taken from the device at a time: what is held, and what the pool keeps for the next who asks.
  public let reservedBytes: Int
  /// What the device has; more than this can't be held at a time.
  public let limitBytes: Int

  public init(currentBytes: Int, peakBytes: Int, reservedBytes: Int, limitBytes: Int) {
    self.currentBytes = currentBytes
    self.peakBytes = peakBytes
    self.reservedBytes = reservedBytes
    self.limitBytes = limitBytes
  }

  /// Bytes for a person: `512 MiB`, `1.25 GiB`.
  public static func text(_ bytes: Int) -> String {
    guard bytes >= 1 << 30 else { return "\(bytes >> 20) MiB" }
    let hundredths = Int((Double(bytes) / 0x1p30 * 100).rounded())
    let rest = "\(hundredths % 100)"
    return "\(hundredths / 100).\(rest.count < 2 ? "0" : "")\(rest) GiB"
  }
}

/// Everything a Stable Diffusion training step needs. A backend that lacks an operation does not compile.
public protocol Backend: MatmulBackend, ConvolutionBackend, AttentionBackend, NormalizationBackend, ElementwiseBackend,
  EmbeddingBackend
{
  associatedtype DryRun: Backend

  /// A backend like this one of which everything can be asked and by which nothing is done: its memory is counted and never
  /// touched, its tensors hold anything, and what is downloaded is zero. After a dry run of a model's own code `memory` says what the
  /// run itself will take.
  func dryRun() throws(OperationError) -> DryRun
}

/// What frozen weights are packed for. The backward copy is left out where no gradient passes.
public struct Directions: OptionSet, Sendable, Hashable {
  public let rawValue: Int
  public init(rawValue: Int) { self.rawValue = rawValue }

  public static let forward = Directions(rawValue: 1)
  public static let backward = Directions(rawValue: 2)
  public static let both: Directions = [.forward, .backward]
}
