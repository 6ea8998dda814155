//! Horizontal pod autoscaling (`pkg/controller/podautoscaler`): how many replicas metrics ask for ([`replicas`]), and how
//! fast that may come about ([`behavior`]).

pub mod behavior;
pub mod replicas;
