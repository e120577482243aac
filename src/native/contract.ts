export type Device = 'cpu' | 'cuda'
export type DType = 'f32' | 'f64' | 'bf16' | 'i32' | 'u8'
