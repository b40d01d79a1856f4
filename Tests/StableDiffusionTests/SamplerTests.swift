import Foundation
import ModelFiles
import Tensors
import TestSupport
import Testing

@testable import StableDiffusion

/// The samplers against diffusers' schedulers, whose latents after every step
/// Tools/reference/scheduler_configurations.py and scheduler.py wrote down.
@Suite struct SamplerTests {
  struct Case: Decodable {
    let sampler: SamplerKind
    let name: String
    let steps: Int
    let configuration: SchedulerConfiguration
  }

  let file: SafetensorsFile
  let cases: [Case]

  init() throws {
    file = try SafetensorsFile(Fixtures.url("scheduler_configurations.safetensors"))
    cases = try JSONDecoder().decode([Case].self, from: Data(#require(file.metadata["cases"]).utf8))
  }

  /// The stand-in for a model that the reference uses.
  static func prediction(_ input: [Float], _ timestep: Float) -> [Float] {
    input.map { Float(cos(3 * Double($0) + Double(timestep) / 200) / 2 + Double($0) / 3) }
  }

  static func rows(_ tensor: HostTensor) -> [[Float]] {
    (0..<tensor.shape[0]).map { Array(tensor.values[$0 * tensor.shape[1]..<($0 + 1) * tensor.shape[1]]) }
  }

  /// `max|a - b| / max|b|`, or over the greatest of `scale`, the numbers that `b` is a difference of.
  static func error(_ a: [Float], _ b: [Float], scale: [Float] = []) -> Float {
    guard a.count == b.count else { return .infinity }
    let difference = zip(a, b).map { $0 - $1 }
    guard difference.allSatisfy(\.isFinite) else { return .infinity }
    return (difference.map(abs).max() ?? 0) / ((b + scale).map(abs).max() ?? 1)
  }

  @Test(arguments: SamplerKind.allCases)
  func everyStepIsThatOfDiffusers(_ kind: SamplerKind) throws {
    let noise = try file.tensor("noise").values
    var compared = 0
    for (number, example) in cases.enumerated() where example.sampler == kind {
      let label = Comment(rawValue: "\(kind.rawValue), \(example.name), \(example.steps) steps")
      var sampler = try kind.sampler(example.configuration, steps: example.steps)
      let timesteps = try file.tensor("\(number).timesteps").values
      // Where Karras' levels lie in the schedule is a question of logarithms, which NumPy rounds in its own way: a unit of
      // the last place in them is up to 1e-4 of a timestep.
      let isExact = kind != .euler || !(example.configuration.useKarrasSigmas ?? false)
      #expect(
        isExact ? sampler.timesteps == timesteps : zip(sampler.timesteps, timesteps).allSatisfy { abs($0 - $1) < 1e-3 },
        label)
      let inputs = SamplerTests.rows(try file.tensor("\(number).inputs"))
      let latents = SamplerTests.rows(try file.tensor("\(number).latents"))
      try #require(sampler.timesteps.count == inputs.count, label)
      #expect(SamplerTests.error(noise.map { $0 * sampler.initialNoiseScale }, latents[0]) < 1e-6, label)
      // Each step from the reference's latents, so that a wrong step can't hide behind those before it; 32-bit rounding
      // alone is left.
      for (index, timestep) in sampler.timesteps.enumerated() {
        #expect(SamplerTests.error(sampler.scaledInput(latents[index], at: index), inputs[index]) < 1e-6, label)
        let prediction = SamplerTests.prediction(inputs[index], timestep)
        let next = sampler.step(prediction: prediction, at: index, latents: latents[index])
        let error = SamplerTests.error(next, latents[index + 1], scale: latents[index])
        #expect(error < 2e-6, "\(label), step \(index)")
      }
      // And the whole way from the noise on the sampler's own latents.
      sampler = try kind.sampler(example.configuration, steps: example.steps)
      var own = noise.map { $0 * sampler.initialNoiseScale }
      for (index, timestep) in sampler.timesteps.enumerated() {
        let prediction = SamplerTests.prediction(sampler.scaledInput(own, at: index), timestep)
        own = sampler.step(prediction: prediction, at: index, latents: own)
      }
      #expect(SamplerTests.error(own, latents[example.steps]) < 1e-5, label)
      compared += 1
    }
    #expect(compared > 15)
  }

  /// Longer ways, in double precision, on the stand-in that scheduler.py describes.
  @Test(arguments: [
    ("ddim", SamplerKind.ddim, false), ("ddim_to_one", .ddim, true), ("euler", .euler, false),
    ("dpm2m", .dpmSolverPP2M, false),
  ])
  func trajectoriesAreThoseOfDiffusers(_ name: String, _ kind: SamplerKind, _ setsAlphaToOne: Bool) throws {
    let file = try SafetensorsFile(Fixtures.url("samplers.safetensors"))
    let initial = try file.tensor("initial").values
    for predictionType in PredictionType.allCases {
      for steps in [10, 30] {
        let prefix = "\(name).\(predictionType.rawValue).\(steps)."
        var configuration = SchedulerConfiguration(predictionType: predictionType.rawValue)
        configuration.timestepSpacing = "leading"
        configuration.setAlphaToOne = setsAlphaToOne
        var sampler = try kind.sampler(configuration, steps: steps)
        #expect(sampler.timesteps == (try file.tensor(prefix + "timesteps").values))
        let trajectory = try file.tensor(prefix + "latents").values
        var latents = initial.map { $0 * sampler.initialNoiseScale }
        for (index, timestep) in sampler.timesteps.enumerated() {
          let prediction = sampler.scaledInput(latents, at: index).map { x in
            let x = Double(x)
            return Float(0.6 * x + 0.2 * sin(Double(timestep) / 100) + 0.1 * x * x / (1 + x * x))
          }
          latents = sampler.step(prediction: prediction, at: index, latents: latents)
          let expected = Array(trajectory[(index + 1) * latents.count..<(index + 2) * latents.count])
          // Single precision along the way, relative to the first latents, the largest.
          let error = SamplerTests.error(latents, expected, scale: Array(trajectory[0..<latents.count]))
          #expect(error < 1e-5, "\(prefix) step \(index)")
        }
      }
    }
  }

  /// As `DPMSolverMultistepScheduler.save_pretrained` writes it.
  @Test func aFileMayHoldPythonsInfinity() throws {
    let json = #"{"_class_name": "DPMSolverMultistepScheduler", "lambda_min_clipped": -Infinity}"#
    let configuration = try SchedulerConfiguration(json: Data(json.utf8))
    #expect(configuration.lambdaMinClipped == -.infinity)
    #expect(try SamplerKind.dpmSolverPP2M.sampler(configuration, steps: 7).timesteps.count == 7)
  }

  @Test func whatIsNotSupportedIsNamed() throws {
    func message(_ json: String, _ kind: SamplerKind, steps: Int = 10) throws -> String? {
      let configuration = try JSONDecoder().decode(SchedulerConfiguration.self, from: Data(json.utf8))
      return #expect(throws: UserError.self) { try kind.sampler(configuration, steps: steps) }?.message
    }
    let notDone: [(String, String, [SamplerKind])] = [
      ("use_exponential_sigmas", "true", [.euler, .dpmSolverPP2M]),
      ("use_beta_sigmas", "true", [.euler, .dpmSolverPP2M]),
      ("use_flow_sigmas", "true", [.euler, .dpmSolverPP2M]), ("use_lu_lambdas", "true", [.dpmSolverPP2M]),
      ("final_sigmas_type", "\"odd\"", [.euler, .dpmSolverPP2M]), ("interpolation_type", "\"log_linear\"", [.euler]),
      ("lambda_min_clipped", "-1", [.dpmSolverPP2M]), ("variance_type", "\"learned_range\"", [.dpmSolverPP2M]),
      ("thresholding", "true", [.ddim, .dpmSolverPP2M]),
    ]
    for (key, value, kinds) in notDone {
      for kind in kinds { #expect(try message("{\"\(key)\": \(value)}", kind)?.contains(key) == true, "\(key)") }
      // Those that don't read a key draw as if it were not there.
      let json = Data("{\"\(key)\": \(value)}".utf8)
      let configuration = try JSONDecoder().decode(SchedulerConfiguration.self, from: json)
      for kind in SamplerKind.allCases where !kinds.contains(kind) { _ = try kind.sampler(configuration, steps: 10) }
    }
    let continuous = #"{"timestep_type": "continuous", "prediction_type": "v_prediction"}"#
    #expect(try message(continuous, .euler)?.contains("timestep_type") == true)
    for ends in [#""sigma_min": 0"#, #""sigma_min": 20, "sigma_max": 1"#, #""sigma_max": 1e300"#] {
      for kind in [SamplerKind.euler, .dpmSolverPP2M] {
        #expect(try message("{\"use_karras_sigmas\": true, \(ends)}", kind)?.contains("sigma_max") == true)
      }
    }
    #expect(try message(#"{"algorithm_type": "sde-dpmsolver++"}"#, .dpmSolverPP2M)?.contains("algorithm_type") == true)
    #expect(try message(#"{"solver_order": 3}"#, .dpmSolverPP2M)?.contains("solver_order") == true)
    #expect(try message(#"{"timestep_spacing": "odd"}"#, .ddim)?.contains("timestep_spacing") == true)
    for kind in SamplerKind.allCases {
      #expect(try message("{}", kind, steps: 0)?.contains("0 steps") == true)
      #expect(try message("{}", kind, steps: 1001)?.contains("1001 steps") == true)
    }
    // The offset would ask for a timestep behind the last.
    #expect(try message(#"{"steps_offset": 1}"#, .ddim, steps: 1000)?.contains("1000") == true)
  }
}
