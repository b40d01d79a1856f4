import Tensors

/// A model's `scheduler_config.json`: the noise it was trained with and how steps are spaced when it draws.
///
/// Keys that are not named here are ignored. What the file leaves out is nil, because diffusers' schedulers differ in
/// their defaults.
public struct SchedulerConfiguration: Codable, Sendable, Hashable {
  /// The scheduler class that wrote the file, such as `PNDMScheduler`.
  public var className: String?
  public var trainingSteps: Int?
  public var betaStart: Double?
  public var betaEnd: Double?
  /// `linear` or `scaled_linear`.
  public var betaSchedule: String?
  /// `epsilon` or `v_prediction`.
  public var predictionType: String?
  public var rescaleBetasZeroSNR: Bool?
  public var trainedBetas: [Double]?
  /// `leading`, `trailing` or `linspace`.
  public var timestepSpacing: String?
  public var stepsOffset: Int?
  public var setAlphaToOne: Bool?
  public var thresholding: Bool?
  /// `zero` or `sigma_min`.
  public var finalSigmasType: String?
  public var useKarrasSigmas: Bool?
  public var useExponentialSigmas: Bool?
  public var useBetaSigmas: Bool?
  public var useLuLambdas: Bool?
  public var useFlowSigmas: Bool?
  /// The ends of Karras' noise levels, where they are not the schedule's own.
  public var sigmaMin: Double?
  public var sigmaMax: Double?
  /// `linear` or `log_linear`, `discrete` or `continuous`: of Euler's noise levels and of its timesteps.
  public var interpolationType: String?
  public var timestepType: String?
  /// DPM-Solver's order, variant and way of ending.
  public var solverOrder: Int?
  public var solverType: String?
  public var algorithmType: String?
  public var lowerOrderFinal: Bool?
  public var eulerAtFinal: Bool?
  /// The least `log(α/σ)` that DPM-Solver goes to.
  public var lambdaMinClipped: Double?
  public var varianceType: String?

  /// Stable Diffusion's noise: 1000 steps, `scaled_linear` from 0.00085 to 0.012.
  public init(
    trainingSteps: Int? = 1000, betaStart: Double? = 0.00085, betaEnd: Double? = 0.012,
    betaSchedule: String? = "scaled_linear", predictionType: String? = "epsilon", stepsOffset: Int? = 1
  ) {
    self.trainingSteps = trainingSteps
    self.betaStart = betaStart
    self.betaEnd = betaEnd
    self.betaSchedule = betaSchedule
    self.predictionType = predictionType
    self.stepsOffset = stepsOffset
  }

  private enum CodingKeys: String, CodingKey {
    case className = "_class_name"
    case trainingSteps = "num_train_timesteps"
    case betaStart = "beta_start"
    case betaEnd = "beta_end"
    case betaSchedule = "beta_schedule"
    case predictionType = "prediction_type"
    case rescaleBetasZeroSNR = "rescale_betas_zero_snr"
    case trainedBetas = "trained_betas"
    case timestepSpacing = "timestep_spacing"
    case stepsOffset = "steps_offset"
    case setAlphaToOne = "set_alpha_to_one"
    case thresholding
    case finalSigmasType = "final_sigmas_type"
    case useKarrasSigmas = "use_karras_sigmas"
    case useExponentialSigmas = "use_exponential_sigmas"
    case useBetaSigmas = "use_beta_sigmas"
    case useLuLambdas = "use_lu_lambdas"
    case useFlowSigmas = "use_flow_sigmas"
    case sigmaMin = "sigma_min"
    case sigmaMax = "sigma_max"
    case interpolationType = "interpolation_type"
    case timestepType = "timestep_type"
    case solverOrder = "solver_order"
    case solverType = "solver_type"
    case algorithmType = "algorithm_type"
    case lowerOrderFinal = "lower_order_final"
    case eulerAtFinal = "euler_at_final"
    case lambdaMinClipped = "lambda_min_clipped"
    case varianceType = "variance_type"
  }
}

/// What a model was trained to predict.
public enum PredictionType: String, Sendable, Hashable, Codable, CaseIterable {
  /// The noise that was added.
  case epsilon
  /// `√ᾱ noise - √(1 - ᾱ) latents` (Salimans and Ho, 2022).
  case velocity = "v_prediction"
}
