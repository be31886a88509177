// Package shop has the messages of the tests, generated from the .proto files beside it by protoc-gen-go 1.36.12.
package shop
