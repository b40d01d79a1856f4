import Foundation
import Tensors

/// Noise levels `σ = √((1 - ᾱ) / ᾱ)` of a schedule, as Euler and DPM-Solver count them. Down to their rounding they are
/// those of NumPy in diffusers' schedulers.
struct NoiseLevels {
  private let sigmas: [Float]
  private let logarithms: [Float]

  init(_ schedule: NoiseSchedule, rescaled: Bool) {
    var alphas = schedule.alphasCumulative.map { Float($0) }
    // A schedule that ends in pure noise would end at infinity; this is the smallest 16-bit float.
    if rescaled { alphas[alphas.count - 1] = 0x1p-24 }
    sigmas = alphas.map { ((1 - $0) / $0).squareRoot() }
    logarithms = sigmas.map { Float(log(Double($0))) }
  }

  /// The ends of the schedule.
  var least: Float { sigmas[0] }
  var greatest: Float { sigmas[sigmas.count - 1] }

  /// The level at a timestep, between its neighbours where it is a fraction, at the schedule's ends beyond them.
  func callAsFunction(_ timestep: Double) -> Double {
    let position = min(max(timestep, 0), Double(sigmas.count - 1))
    let index = min(Int(position), sigmas.count - 2)
    let (low, high) = (Double(sigmas[index]), Double(sigmas[index + 1]))
    return low + (high - low) * (position - Double(index))
  }

  /// The timestep of a level, between its neighbours by the logarithm.
  func timestep(of sigma: Double) -> Double {
    let sought = log(max(sigma, 1e-10))
    let index = min(logarithms.lastIndex { Double($0) <= sought } ?? 0, logarithms.count - 2)
    let (low, high) = (logarithms[index], logarithms[index + 1])
    return Double(index) + min(max((Double(low) - sought) / Double(low - high), 0), 1)
  }

  /// `count` levels, falling, that lie evenly by their seventh roots (Karras et al., "Elucidating the design space of
  /// diffusion-based generative models", 2022, equation 5), between the ends that the configuration or else the sampler
  /// names.
  ///
  /// - Throws: `.badData` where the configuration's ends are none.
  static func karras(
    _ configuration: SchedulerConfiguration, from greatest: Double, to least: Double, count: Int
  ) throws(UserError) -> [Double] {
    let (most, least) = (configuration.sigmaMax ?? greatest, configuration.sigmaMin ?? least)
    guard least > 0, least <= most, most <= 1e6 else {
      throw UserError(.badData, at: .key("sigma_max"), "\(most), with sigma_min \(least), is no range of noise levels")
    }
    let (start, end) = (pow(most, 1 / 7), pow(least, 1 / 7))
    let step = count > 1 ? 1 / Double(count - 1) : 0
    return (0..<count).map { index in
      let part = count > 1 && index == count - 1 ? 1 : Double(index) * step
      return pow(start + part * (end - start), 7)
    }
  }
}
