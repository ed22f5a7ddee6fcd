/// What a fit holds constant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    /// Lambda: the price of a bit per pixel in units of the distortion; more is smaller and worse.
    Lambda(f64),
    /// Bits of a group of frames, which are not exceeded.
    Bits(f64),
}
