import Foundation
import Operators
import Tensors

/// What one operation takes on one backend.
struct OperationTiming: Codable, Sendable {
  /// Such as `convolution_forward`.
  let op: String
  let shape: String
  let precision: String
  /// How often a training step of the UNet runs it.
  let count: Int
  /// The median of several runs.
  let milliseconds: Double
  let gflops: Double
  let gigabytesPerSecond: Double
  /// The least time that the device's peaks allow, over the time taken. The peaks are the best seen in the same run: of
  /// arithmetic over all operations and a large matrix product, of memory over all operations and a large sum. An operation is
  /// held against the one that binds it.
  let fractionOfPeak: Double

  /// The figures for a person.
  var line: String {
    op.padding(toLength: 30, withPad: " ", startingAt: 0) + shape.padding(toLength: 44, withPad: " ", startingAt: 0)
      + String(
        format: "%10.3f ms%9.1f GFLOP/s%8.1f GB/s%5.0f %% of peak", milliseconds, gflops, gigabytesPerSecond,
        100 * fractionOfPeak)
  }
}

/// Times operations one by one on a backend.
final class OperationBench<B: Backend> {
  let backend: B
  private var measured: [Measurement] = []
  private let draws = Philox(seed: 1, stream: 0xBE7C).normals(4093)

  private struct Measurement {
    let op: String
    let shape: String
    let count: Int
    let cost: Cost
    let seconds: Double
  }

  /// A run is repeated until it has taken this long, so that queueing and waiting do not count.
  private static var sampleSeconds: Double { 0.01 }
  private static var samples: Int { 5 }

  init(_ backend: B) { self.backend = backend }

  /// Runs `operation` once to build its kernels and settle the pool, then some times more, and notes the median.
  func measure<Result>(
    _ op: String, _ shape: String, count: Int, _ cost: Cost, _ operation: () throws(OperationError) -> Result
  ) throws(OperationError) {
    _ = try time(1, operation)
    let first = try time(1, operation)
    let repeats = max(1, min(50, Int(Self.sampleSeconds / max(first, 1e-7))))
    var times: [Double] = []
    let samples = first > 0.5 ? 3 : Self.samples
    for _ in 0..<samples { times.append(try time(repeats, operation)) }
    measured.append(
      Measurement(op: op, shape: shape, count: count, cost: cost, seconds: times.sorted()[samples / 2]))
  }

  /// The seconds of one of `repeats` runs, with one wait at the end.
  private func time<Result>(_ repeats: Int, _ operation: () throws(OperationError) -> Result) throws(OperationError)
    -> Double
  {
    let start = ContinuousClock.now
    for _ in 0..<repeats { _ = try operation() }
    try backend.synchronize()
    return start.duration(to: .now) / .seconds(1) / Double(repeats)
  }

  /// Every measurement that counts in a step, held against the best seen.
  func timings() -> [OperationTiming] {
    let flops = measured.map { $0.cost.flop / $0.seconds }.max() ?? 0
    let bandwidth = measured.map { $0.cost.bytes / $0.seconds }.max() ?? 0
    return measured.filter { $0.count > 0 }.map { item in
      let least = max(flops > 0 ? item.cost.flop / flops : 0, bandwidth > 0 ? item.cost.bytes / bandwidth : 0)
      return OperationTiming(
        op: item.op, shape: item.shape, precision: backend.precision.rawValue, count: item.count,
        milliseconds: item.seconds * 1000, gflops: item.cost.flop / item.seconds / 1e9,
        gigabytesPerSecond: item.cost.bytes / item.seconds / 1e9, fractionOfPeak: least / item.seconds)
    }
  }

  /// A tensor of random numbers in the backend's precision; a short piece of them over and over, since drawing a full-size
  /// layer's would take longer than timing it.
  func tensor(_ shape: Shape) throws(OperationError) -> Tensor<B.Storage> {
    try backend.upload(host(shape, deviation: 1), as: backend.precision)
  }

  func host(_ shape: Shape, deviation: Float) -> HostTensor {
    HostTensor(
      shape,
      [Float](unsafeUninitializedCapacity: shape.count) { buffer, count in
        for index in 0..<shape.count { buffer.initializeElement(at: index, to: deviation * draws[index % draws.count]) }
        count = shape.count
      })
  }
}
