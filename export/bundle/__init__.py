"""From a checkpoint to a published bundle: conversion, checks, measurement."""
