// Package parcel has the Protobuf messages of the tests, generated from the .proto files beside it by protoc-gen-go 1.36.12.
package parcel
