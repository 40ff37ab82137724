# Runs EM of flexmix on the data in a folder: known noise level, no intercept, one component for
# each group. Called by em.py:  Rscript flexmix.R FOLDER n k d m sigma iterations
suppressPackageStartupMessages(library(flexmix))

arguments <- commandArgs(trailingOnly = TRUE)
folder <- arguments[1]
size <- as.numeric(arguments[-1])
n <- size[1]; k <- size[2]; d <- size[3]; m <- size[4]; sigma <- size[5]; iterations <- size[6]

numbers <- function(name, rows, columns) {
  path <- file.path(folder, name)
  matrix(readBin(path, "double", rows * columns), rows, columns, byrow = TRUE)
}

# FLXMRglm with the noise level given: its fit, all but the estimate of sigma.
known_noise <- function(formula, sigma) {
  driver <- FLXMRglm(formula, family = "gaussian")
  driver@fit <- function(x, y, w, component) {
    fit <- lm.wfit(x, y, w = w)
    driver@defineComponent(para = list(coef = coef(fit), df = ncol(x), sigma = sigma))
  }
  driver
}

x <- numbers("xs", n * k, d)
table <- data.frame(y = numbers("ys", n * k, 1)[, 1], group = rep(seq_len(n), each = k))
table$x <- x
start <- numbers("start", n, m)[rep(seq_len(n), each = k), , drop = FALSE]
# A tolerance below 0 is never met, so that all iterations are made.
control <- list(iter.max = iterations, minprior = 0, tolerance = -1, classify = "weighted")

began <- proc.time()
fitted <- flexmix(y ~ x - 1 | group, data = table, k = m, cluster = start,
                  model = known_noise(y ~ x - 1, sigma), control = control)
took <- proc.time() - began

coefficients <- t(sapply(fitted@components, function(part) part[[1]]@parameters$coef))
writeBin(c(took[["user.self"]] + took[["sys.self"]], fitted@iter, fitted@logLik,
           fitted@prior, as.vector(t(coefficients))), file.path(folder, "found"))
