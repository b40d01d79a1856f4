import Foundation
import ModelFiles
import Tensors
import TestSupport
import Testing

@testable import StableDiffusion

/// The noise schedule against diffusers' DDPMScheduler: values printed by `DDPMScheduler(...).alphas_cumprod` (32-bit
/// floats, all digits).
@Suite struct ScheduleTests {
  static func configuration(_ json: String) throws -> SchedulerConfiguration {
    try JSONDecoder().decode(SchedulerConfiguration.self, from: Data(json.utf8))
  }

  @Test(
    arguments: [
      (
        #"{"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}"#,
        [
          0: 0.9991499781608582, 1: 0.9982960224151611, 333: 0.5349618792533875, 499: 0.27766942977905273,
          500: 0.27633246779441833, 998: 0.004716695751994848, 999: 0.00466009508818388,
        ],
        373.3764712619595
      ),
      (
        #"{"beta_schedule": "linear"}"#,
        [
          0: 0.9998999834060669, 1: 0.9997800588607788, 333: 0.3186247646808624, 499: 0.07858723402023315,
          500: 0.07779665291309357, 998: 4.118194192415103e-05, 999: 4.035830352222547e-05,
        ],
        275.5131952870579
      ),
      (
        #"{"beta_schedule": "linear", "num_train_timesteps": 997, "beta_start": 0.0015, "beta_end": 0.0195}"#,
        [
          0: 0.9984999895095825, 1: 0.9969841837882996, 332: 0.22259774804115295, 497: 0.05007795989513397,
          498: 0.04955214262008667, 995: 2.7047131879953668e-05, 996: 2.651971226441674e-05,
        ],
        226.70309356013968
      ),
      (
        #"{"trained_betas": [0.1, 0.2, 0.05]}"#,
        [0: 0.8999999761581421, 1: 0.7199999690055847, 2: 0.6839999556541443],
        2.303999900817871
      ),
    ] as [(String, [Int: Double], Double)])
  func cumulativeAlphasAreThoseOfPyTorchToTheBit(_ json: String, _ values: [Int: Double], _ sum: Double) throws {
    let alphas = try NoiseSchedule(ScheduleTests.configuration(json)).alphasCumulative
    for (timestep, value) in values { #expect(alphas[timestep] == value, "timestep \(timestep)") }
    // Every other timestep, by their sum in double precision.
    #expect(abs(alphas.reduce(0, +) - sum) <= 1e-9 * sum)
  }

  /// All thousand of both kinds, as Tools/reference/scheduler.py wrote them down.
  @Test(arguments: [("linear", 0.0001, 0.02), ("scaled_linear", 0.00085, 0.012)])
  func everyCumulativeAlphaIsPyTorchs(_ schedule: String, _ start: Double, _ end: Double) throws {
    let expected = try SafetensorsFile(Fixtures.url("samplers.safetensors")).tensor("alphas_cumprod.\(schedule)")
    let made = try NoiseSchedule(SchedulerConfiguration(betaStart: start, betaEnd: end, betaSchedule: schedule))
    #expect(made.alphasCumulative == expected.values.map(Double.init))
  }

  /// By way of square roots, which PyTorch's vector library rounds in its own way: hence not to the bit.
  @Test func scheduleThatEndsInNoiseIsPyTorchs() throws {
    let configuration = try ScheduleTests.configuration(
      #"{"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "rescale_betas_zero_snr": true}"#)
    let alphas = try NoiseSchedule(configuration).alphasCumulative
    let values: [Int: Double] = [
      0: 0.9991499781608582, 1: 0.9982334971427917, 333: 0.5065945982933044, 499: 0.24235899746418,
      500: 0.2410186380147934, 998: 1.9679633567193378e-07, 999: 0.0,
    ]
    for (timestep, value) in values { #expect(abs(alphas[timestep] - value) <= 1e-6 * value, "timestep \(timestep)") }
  }

  @Test func keysOfOtherSchedulersAreIgnored() throws {
    let configuration = try ScheduleTests.configuration(
      #"{"_class_name": "PNDMScheduler", "skip_prk_steps": true, "clip_sample": false, "num_train_timesteps": 12}"#)
    #expect(try NoiseSchedule(configuration).steps == 12)
    #expect(try NoiseSchedule(configuration).predictionType == .epsilon)
  }

  @Test func weightsAddNoiseAndMakeVelocity() throws {
    let schedule = try NoiseSchedule(SchedulerConfiguration())
    let noisy = try schedule.noiseWeights(timesteps: [0, 999])
    // √ᾱ and √(1 - ᾱ) of Stable Diffusion's first and last timestep, in double precision from its betas.
    #expect(abs(noisy.a[0] - 0.9995749) < 1e-6 && abs(noisy.b[0] - 0.0291548) < 1e-6)
    #expect(abs(noisy.a[1] - 0.0682651) < 1e-6 && abs(noisy.b[1] - 0.9976672) < 1e-6)
    let velocity = try schedule.velocityWeights(timesteps: [0, 999])
    #expect(velocity.a == noisy.a && velocity.b == noisy.b.map { -$0 })
    for timestep in [-1, 1000, Int.max] {
      #expect(throws: OperationError.self) { try schedule.noiseWeights(timesteps: [5, timestep]) }
      #expect(throws: OperationError.self) { try schedule.velocityWeights(timesteps: [timestep]) }
    }
  }

  @Test(arguments: [
    (#"{"beta_schedule": "squaredcos_cap_v2"}"#, "squaredcos_cap_v2"), (#"{"prediction_type": "sample"}"#, "sample"),
    (#"{"num_train_timesteps": 0}"#, "num_train_timesteps"), (#"{"num_train_timesteps": -5}"#, "num_train_timesteps"),
    (#"{"beta_start": 2, "beta_end": 3}"#, "betas"), (#"{"beta_start": -1}"#, "betas"),
    (#"{"trained_betas": []}"#, "trained_betas"),
    (#"{"_class_name": "FlowMatchEulerDiscreteScheduler"}"#, "_class_name"),
    (#"{"_class_name": "EDMEulerScheduler"}"#, "_class_name"),
  ])
  func whatIsNotSupportedIsNamed(_ json: String, _ says: String) throws {
    let error = #expect(throws: UserError.self) { try NoiseSchedule(ScheduleTests.configuration(json)) }
    #expect(error?.kind == .badData)
    #expect(error?.message.contains(says) == true && error?.message.contains("\n") == false)
  }
}
