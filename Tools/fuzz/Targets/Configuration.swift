import Foundation
import Tensors

@testable import ModelFiles
@testable import StableDiffusion
@testable import TextualInversion

extension FuzzTarget {
  /// A JSON document, read as every kind of configuration that there is.
  static let configuration = FuzzTarget("configuration") { bytes in
    expecting { _ = try CLIPTextConfiguration(json: bytes) }
    expecting { _ = try UNetConfiguration(json: bytes) }
    expecting { _ = try AutoencoderConfiguration(json: bytes) }
    expecting { try schedule(SchedulerConfiguration(json: bytes)) }
    _ = file("model_index.json", bytes)
    expecting { _ = try DiffusersFolder(URL(fileURLWithPath: ".")) }
    expecting { _ = try TrainingReport(file("training.json", bytes)) }
  }

  /// The noise of a scheduler's configuration, and a picture of one number drawn by each sampler.
  private static func schedule(_ configuration: SchedulerConfiguration) throws {
    // A million timesteps are allowed, and take their time.
    if let steps = configuration.trainingSteps, steps > 2000 { return }
    _ = try NoiseSchedule(configuration)
    for kind in SamplerKind.allCases {
      expecting {
        var sampler = try kind.sampler(configuration, steps: 3)
        var latents = [sampler.initialNoiseScale]
        for index in sampler.timesteps.indices {
          latents = sampler.step(prediction: sampler.scaledInput(latents, at: index), at: index, latents: latents)
        }
      }
    }
  }
}
