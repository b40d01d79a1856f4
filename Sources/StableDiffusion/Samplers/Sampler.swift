import Tensors

/// Turns noise into latents, one prediction of the UNet at a time.
///
///     var sampler = try SamplerKind.ddim.sampler(configuration, steps: 30)
///     var latents = noise.map { $0 * sampler.initialNoiseScale }
///     for (index, timestep) in sampler.timesteps.enumerated() {
///       let prediction = unet(sampler.scaledInput(latents, at: index), timestep)   // with guidance, if any, applied
///       latents = sampler.step(prediction: prediction, at: index, latents: latents)
///     }
///
/// A sampler works element by element on 32-bit floats in the program's own memory, whatever the layout of the latents.
/// A new one is a type in a file of its own and a case of `SamplerKind`; what diffusers does with a model's scheduler
/// configuration under that scheduler's name is what it is to do.
public protocol Sampler: Sendable {
  /// The timesteps at which the UNet is asked, in order; fractions occur.
  var timesteps: [Float] { get }

  /// What standard normal noise is multiplied by to make the first latents.
  var initialNoiseScale: Float { get }

  /// The latents as the UNet takes them at step `index` of `timesteps`.
  func scaledInput(_ latents: [Float], at index: Int) -> [Float]

  /// The latents after step `index`, from the latents before it (unscaled) and what the UNet predicts of them. Steps
  /// are taken in order, each once: a sampler of higher order remembers what came before.
  mutating func step(prediction: [Float], at index: Int, latents: [Float]) -> [Float]
}

extension Sampler {
  public var initialNoiseScale: Float { 1 }

  public func scaledInput(_ latents: [Float], at index: Int) -> [Float] { latents }
}

/// The samplers by name.
public enum SamplerKind: String, Sendable, Hashable, Codable, CaseIterable {
  case ddim
  case euler
  case dpmSolverPP2M = "dpm++2m"

  /// A sampler for a model's scheduler configuration that takes `steps` steps.
  ///
  /// - Throws: `.usage` where the steps don't fit the model's schedule, `.badData` where the configuration asks for
  ///   what the sampler can't do.
  public func sampler(_ configuration: SchedulerConfiguration, steps: Int) throws(UserError) -> any Sampler {
    switch self {
    case .ddim: try DDIM(configuration, steps: steps)
    case .euler: try Euler(configuration, steps: steps)
    case .dpmSolverPP2M: try DPMSolverPP2M(configuration, steps: steps)
    }
  }
}

/// `a x + b y`, element by element.
func weightedSum(_ a: Float, _ x: [Float], _ b: Float, _ y: [Float]) -> [Float] {
  precondition(x.count == y.count, "\(x.count) and \(y.count) elements")
  return [Float](unsafeUninitializedCapacity: x.count) { buffer, count in
    x.withUnsafeBufferPointer { x in
      y.withUnsafeBufferPointer { y in
        for index in 0..<x.count { buffer.initializeElement(at: index, to: a * x[index] + b * y[index]) }
      }
    }
    count = x.count
  }
}
